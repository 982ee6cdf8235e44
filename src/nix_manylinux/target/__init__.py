"""What is linked for: a machine, a libc, an interpreter, and their tags."""
