"""What would happen to a pull, and why."""
