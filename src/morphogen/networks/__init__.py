"""Networks that several methods use unchanged: layers and shapes, no loss and no sampling."""
