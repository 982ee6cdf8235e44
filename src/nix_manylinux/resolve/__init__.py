"""What leads where: rules, search paths, and the loader that must agree."""
