"""How members of a fleet find each other's pieces of blobs, out of nothing but hashes."""
