"""From a run to an image set."""
