"""`regproxy doctor`: what keeps a runtime from pulling through the cache."""
