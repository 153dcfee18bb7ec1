"""One file a format: ``EXTENSIONS``, ``read`` and, where it can be written, ``write``. ``ls`` is the catalogue."""
