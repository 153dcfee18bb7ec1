"""The audit of the metrics themselves: known damage goes in, and what each metric says of it comes out."""
