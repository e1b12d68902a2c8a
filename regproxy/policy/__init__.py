"""What we would do about a request: routing, freshness, failover; no clock, no file, no socket."""
