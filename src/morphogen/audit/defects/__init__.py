"""Graded damage with a physical name: one file each. The file name is the registry."""
