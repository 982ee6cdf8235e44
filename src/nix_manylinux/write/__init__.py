"""How a plan is written: all of it, or nothing."""
