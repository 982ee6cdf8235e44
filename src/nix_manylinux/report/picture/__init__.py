"""A picture of who needs what."""
