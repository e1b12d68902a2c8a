"""Benchmarks: what regproxy does to upstream, to clients and to the machine, in figures."""
