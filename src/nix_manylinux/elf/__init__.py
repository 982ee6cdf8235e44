"""What is in an ELF file, and how it is changed."""
