"""Synthetic specimens whose every label and parameter is known exactly."""
