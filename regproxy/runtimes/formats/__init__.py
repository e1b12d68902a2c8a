"""Changes to configuration files that leave every other line as it is."""
