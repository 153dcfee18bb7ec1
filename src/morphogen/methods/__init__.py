"""Generative methods: one file a paper. The file name is the registry."""
