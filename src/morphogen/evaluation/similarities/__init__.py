"""Similarity of two images that belong together: one file a measure."""
