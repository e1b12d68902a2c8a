"""Pieces of blobs: on this machine, on their way here, and whether they are right."""
