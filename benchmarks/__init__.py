"""How fast and how small: the package against `plain_pipeline`. Run from the clone; it is not installed.

`plain_method` is also what the tests compare the package's numbers with."""
