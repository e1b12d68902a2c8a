"""Pieces of blobs between the members of a fleet, so that upstream sends each byte once."""
