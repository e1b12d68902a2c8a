"""The connections of the registry port: accepted, watched, closed."""
