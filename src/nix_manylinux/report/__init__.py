"""How a plan is told: as text, as JSON, as a verdict."""
