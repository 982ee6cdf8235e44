"""The writer: how an edit is laid out, carried out, and written."""
