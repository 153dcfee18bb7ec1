"""One formula, one place, tested hard. Nothing here knows images, methods or files."""
