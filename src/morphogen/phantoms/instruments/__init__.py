"""What phantoms are seen through, one file an instrument."""
