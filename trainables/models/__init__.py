"""Segmentation models by name and the parts of them that train."""
