"""A study: a recipe in, runs, image sets, evidence and a page out."""
