"""What must hold of an edited file before it is written."""
