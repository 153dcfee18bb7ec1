"""The commands, by the part of the work that they belong to; ``morphogen.cli`` puts them together."""
