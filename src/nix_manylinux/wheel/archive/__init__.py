"""The zip archive of a wheel, read strictly and written reproducibly."""
