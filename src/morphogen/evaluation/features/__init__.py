"""Feature extractors, each with its preprocessing and the hash of its weights: one file each."""
