"""Measured and generated images, with their physical units and where they come from."""
