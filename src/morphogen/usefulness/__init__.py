"""Whether generated images can stand in for measured ones: a network trained on them, tested on measured images."""
