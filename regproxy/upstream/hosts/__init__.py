"""Several hosts of one upstream: what they refused, and which of their failures is the upstream's answer."""
