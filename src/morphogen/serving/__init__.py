"""What every page of Morphogen that is served from this machine has in common: who may ask, and how it is answered."""
