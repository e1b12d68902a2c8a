"""What tends the store beside the pulls: eviction, scrubbing, reconciliation, import and export."""
