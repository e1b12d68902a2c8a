"""The port Index and Ledger in SQLite."""
