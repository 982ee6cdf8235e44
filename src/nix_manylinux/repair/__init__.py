"""How a wheel that was built here becomes one that runs anywhere: what it grafts, and its tag."""
