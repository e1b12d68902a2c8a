"""What regproxy promises, and the means to try it."""
