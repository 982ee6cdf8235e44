"""What is there: files of trees, libraries in directories."""
