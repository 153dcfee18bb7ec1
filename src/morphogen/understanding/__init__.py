"""Networks that understand images and draw none. The file name is the registry: one file, one paper."""
