"""``python -m morphogen``, as torchrun needs it."""

from morphogen.cli import main

main()
