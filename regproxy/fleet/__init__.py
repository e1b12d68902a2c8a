"""The port Fleet: between workers by their supervisor, between replicas by Redis."""
