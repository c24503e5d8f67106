"""The runner of the suites: which there are, what each needs, and what they showed. Standard library only."""
