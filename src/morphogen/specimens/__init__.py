"""What a domain knows: one file a kind of specimen. The file name is the registry."""
