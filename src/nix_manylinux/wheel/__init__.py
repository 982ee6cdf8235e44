"""What a wheel is: its name, its metadata, its RECORD, its archive."""
