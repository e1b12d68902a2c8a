"""An object store behind the disk: what it holds outlives machines, and nothing that comes from it is believed unverified."""
