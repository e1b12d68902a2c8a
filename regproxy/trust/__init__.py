"""Signatures: what they are, and whether one is right for a digest. Pure: no clock, file or socket."""
