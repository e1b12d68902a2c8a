"""Object stores of others."""
