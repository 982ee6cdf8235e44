"""What people type, and what they read on a terminal."""

#: Exit statuses: it is done, refused, typed wrongly, a fault of our own, or was interrupted.
DONE, REFUSED, USAGE, FAULT, INTERRUPTED = 0, 1, 2, 3, 130
