"""Logs and metrics, of all processes together."""
