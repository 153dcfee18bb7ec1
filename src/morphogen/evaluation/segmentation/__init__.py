"""From grey levels to phases: one file a way of segmentation. The file name is the registry."""
