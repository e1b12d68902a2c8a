"""Images that have to be signed: found signatures, the keys that count now, and what is served."""
