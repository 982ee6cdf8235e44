"""Reading, editing and loading ELF files."""
