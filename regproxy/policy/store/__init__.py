"""What the store may hold, and what is evicted or hashed again."""
