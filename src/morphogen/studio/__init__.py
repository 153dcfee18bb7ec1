"""The studio: pages in the browser to look at sets, train, generate, edit and compare, over the command line."""
