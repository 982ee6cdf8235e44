"""What any part may use, and nothing of ours: errors, whole files, signals, values."""
