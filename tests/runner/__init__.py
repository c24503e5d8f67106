"""The runner of the suites: their definitions, their requirements, and the report. Standard library only."""
