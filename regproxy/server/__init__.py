"""The processes: a supervisor, which keeps the sockets and the store, and workers, which serve; one worker needs no other process."""
