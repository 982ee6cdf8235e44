"""What a lock file asks for: four kinds, read into one value, chosen from, and written for Nix."""
