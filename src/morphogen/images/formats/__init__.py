"""Image formats, one file each: ``EXTENSIONS``, ``read`` and ``write``. The folder is the catalogue."""
