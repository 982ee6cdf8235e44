"""An ELF file with changes that are not written yet."""
