"""Evidence: two image sets in, records out. Nothing here sees a model, a run or a device."""
