"""Sections of the configuration file that are a subject of their own."""
