"""HTTP on both ports."""
