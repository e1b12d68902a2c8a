"""The admin port: probes, metrics, the admin API and its page."""
