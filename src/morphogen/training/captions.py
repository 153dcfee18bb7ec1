"""How a run reads captions: by one encoder, whose weights are on record; and where the captions of a set are."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from morphogen.images.conditions import CAPTION, TEXTS, Conditions, TextCondition, listed
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.labels import CLASS
from morphogen.methods.method import method_class, method_names
from morphogen.pretrained.text_encoder import TextEncoder, text_encoder
from morphogen.problems import Problem
from morphogen.understanding.learners import learner_class

_DIRECTION = re.compile(
    r"\b(horizontal|vertical|upright|upwards|downwards|sideways|steep|flat|(down|across) the image|along [xy])",
    re.IGNORECASE,
)
"""Words that no longer are true of an image that was turned by a quarter."""


def text_condition(method: str, conditions: Sequence[str], folder: Path | str | None) -> TextCondition | None:
    """How the text among the conditions, a caption or an instruction, is read, where the method reads texts.

    Raises:
        Problem: no text encoder can be found, one is given and there is nothing to read, or there are two texts.
    """
    read = [name for name in conditions if name in TEXTS]
    if not read or not learner_class(method).reads_text:
        if folder is not None:
            able = listed(n for n in method_names() if method_class(n).reads_text and not method_class(n).learns_from)
            raise Problem(
                f"a text encoder is given, and {method} reads no captions"
                if read
                else "a text encoder is given, and caption is no condition",
                do=f"leave it out, or condition one of {able} on caption",
            )
        return None
    if len(read) > 1:
        raise Problem(f"{' and '.join(read)} are two texts, and one is read", do="leave one of them out")
    found = text_encoder(folder)
    place = None if folder is None else str(Path(folder).absolute())
    return TextCondition(name=read[0], encoder=found.sha256, width=found.width, folder=place)


def encoder_of(conditions: Conditions, folder: Path | str | None = None) -> TextEncoder | None:
    """The encoder that a run's captions are read by.

    Args:
        conditions: of the run.
        folder: where the encoder is now; by default where it was.

    Raises:
        Problem: it cannot be found, is another one than training had, or there are no captions to read.
    """
    if conditions.text is None:
        if folder is not None:
            raise Problem("a text encoder is given, and the run reads no captions", do="leave it out")
        return None
    found = text_encoder(folder if folder is not None else conditions.text.folder)
    if found.sha256 != conditions.text.encoder:
        raise Problem(
            f"the text encoder at {found.folder} is not the one that the run learnt from", do="bring that one back"
        )
    return found


def require_readable(conditions: Conditions, images: ImageSet) -> None:
    """Read every caption once, which training then need not do again.

    Raises:
        Problem: one is empty or too long.
    """
    encoder = encoder_of(conditions)
    if encoder is not None:
        for text in dict.fromkeys(conditions.text_of(conditions.values_of(p.labels, p.mask)) for p in images):
            encoder(text)


def captioned(images: ImageSet) -> Pictures:
    """The images with a caption each: their own, or else the name of their class in words.

    Raises:
        Problem: an image without either or with an empty one, or one for all, so that there is nothing to tell apart.
    """
    name = getattr(images, "name", "the images")
    label = CAPTION if any(CAPTION in picture.labels for picture in images) else CLASS
    found = []
    for picture in images:
        if label not in picture.labels:
            raise Problem(
                f"{name}: {picture.origin.source or picture.origin.specimen} has no caption",
                do="put a captions.csv with the columns file and caption beside the images, sort them into folders"
                " named by class, or let 'morphogen caption' write some",
            )
        text = str(picture.labels[label])
        text = text.replace("_", " ") if label == CLASS else text
        if not text.strip():
            raise Problem(
                f"{name}: {picture.origin.source or picture.origin.specimen} has an empty caption",
                do="say what it shows",
            )
        found.append(replace(picture, labels={**picture.labels, CAPTION: text}))
    different = list(dict.fromkeys(str(p.labels[CAPTION]) for p in found))
    if len(different) < 2:
        raise Problem(
            f"{name}: all images have the caption '{different[0][:40]}', and there is nothing to tell apart",
            do="add images with other captions",
        )
    return Pictures(found, name)


def staying_true(texts: Iterable[str], symmetries: frozenset[str]) -> frozenset[str]:
    """What may be done to images of which something is said: no quarter turn, where a text names a direction."""
    turned = any(_DIRECTION.search(text) is not None for text in texts)
    return symmetries - {"quarter_turn"} if turned else symmetries
