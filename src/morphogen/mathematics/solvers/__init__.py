"""Ways to draw images from a denoiser, one file each; the file name is the registry. ``solver.py`` has the contract."""
