"""Runs beside the search: named rows, repetitions, fidelity, and their table."""
