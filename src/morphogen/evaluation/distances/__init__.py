"""Distances between two sets of feature vectors: one file each."""
