"""The configuration of container runtimes that makes them pull through the cache: written, checked, undone, diagnosed."""
