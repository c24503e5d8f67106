"""The local stack: the parts of AWS that Brevet needs, on one machine, from the same template."""
