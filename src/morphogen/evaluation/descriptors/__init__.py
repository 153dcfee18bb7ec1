"""Physics of one picture: one file a descriptor. The file name is the registry."""
