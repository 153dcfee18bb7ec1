"""One static page that a person reads."""
