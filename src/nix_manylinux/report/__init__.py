"""How a plan is reported: as text, as JSON, as a verdict."""
