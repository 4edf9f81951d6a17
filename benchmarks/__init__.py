"""Benchmarks against peers, and proofs of what the documentation claims."""
