"""Header fields and other words of HTTP that registries and caches use."""
