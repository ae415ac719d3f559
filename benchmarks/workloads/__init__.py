"""What is measured: one file each, found by its name."""
