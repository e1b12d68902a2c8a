"""The nodes of a cluster: their container runtimes use the cache while it answers, and are given back when it is removed."""
