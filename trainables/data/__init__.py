"""Datasets: formats, splits, checks, cache and batches."""
