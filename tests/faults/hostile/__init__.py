"""Fuzzers that run against the real program: hostile clients, and a hostile upstream."""
