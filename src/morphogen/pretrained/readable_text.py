"""Which texts are read: those that describe an image, and no more."""

from morphogen.problems import Problem

MOST_CHARACTERS = 1000
"""Of a text: more is no description of an image. Of a word of hundreds of letters tokenizers make one token."""


def require_readable_text(text: str) -> None:
    """Refuse a text that says nothing, or far too much, before anything is opened for it.

    Raises:
        Problem: it is empty or too long.
    """
    if not text.strip():
        raise Problem("a text is empty", do="say what the image is to show")
    if len(text) > MOST_CHARACTERS:
        raise Problem(
            f"a text has {len(text):,} characters, '{text[:30]}...'", do=f"say it in at most {MOST_CHARACTERS}"
        )
