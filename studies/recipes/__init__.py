"""Shipped study files."""
