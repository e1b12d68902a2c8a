"""Credentials and tokens for the hosts of an upstream."""
