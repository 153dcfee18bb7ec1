"""Editing: measured images changed as they are asked to be, with the place of the change on record."""
