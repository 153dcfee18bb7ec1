"""Zero-shot classification: each image goes to the caption that is most like it (Radford et al. 2021, section 3.1).

No class is trained on. The captions are the classes, and what is known of an image (its class folder, or its own
caption) says which of them is right: the one of that name, or the only one that has all words of that name in it
("rock" means "microCT of rock"), or the only one whose words are all in that name.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from morphogen.evaluation.image_text import ImageText, name_of, share
from morphogen.evaluation.records import Classification, Likeness
from morphogen.images.conditions import CAPTION, known_as
from morphogen.images.image_set import ImageSet
from morphogen.images.labels import CLASS
from morphogen.images.picture import Label
from morphogen.problems import Problem


def classify(
    model: ImageText, images: ImageSet, captions: Sequence[str], *, label: str | None = None, seed: int = 0
) -> Classification:
    """Put each image to one of the captions.

    Args:
        model: a CLIP.
        images: what is to be told apart.
        captions: at least two, all different.
        label: of the images, that says what each is; by default their class folder or, without one, their caption.
        seed: of the bootstrap.

    Raises:
        Problem: fewer than two captions, one given twice or empty, or a label that no image has.
    """
    wanted = [text.strip() for text in captions]
    if len(wanted) < 2:
        raise Problem(f"{len(wanted)} caption leaves nothing to choose", do="give two or more")
    if "" in wanted or len(set(wanted)) < len(wanted):
        raise Problem("a caption is empty or given twice", do="give each class a caption of its own")
    if label is not None and all(known_as(label, picture.labels) is None for picture in images):
        raise Problem(f"no image has a label '{label}'", do="name one that they have, or leave it out")
    likeness = model.images(images) @ model.captions(wanted).T  # (n, m)
    found = [int(k) for k in likeness.argmax(axis=1)]
    true = [_right_one(_known_of(picture.labels, label), wanted) for picture in images]
    groups = [picture.origin.specimen for picture in images]
    known = [i for i, k in enumerate(true) if k is not None]
    confusion = np.zeros((len(wanted), len(wanted)), dtype=int)
    for i in known:
        confusion[true[i], found[i]] += 1
    return Classification(
        model=model.name,
        extractor=model.identity,
        captions=tuple(wanted),
        images=tuple(
            Likeness(image=name_of(picture), specimen=picture.origin.specimen, cosines=tuple(map(float, row)))
            for picture, row in zip(images, likeness, strict=True)
        ),
        found=tuple(found),
        true=tuple(true),
        accuracy=share([found[i] == true[i] for i in known], [groups[i] for i in known], seed) if known else None,
        confusion=tuple(tuple(map(int, row)) for row in confusion) if known else None,
    )


def _known_of(labels: Mapping[str, Label], label: str | None) -> str:
    names = [label] if label is not None else [CLASS, CAPTION]
    found = (known_as(name, labels) for name in names)
    return next((str(labels[name]) for name in found if name is not None), "")


def _right_one(known: str, captions: Sequence[str]) -> int | None:
    """Index of the caption that is meant; None where it is none or might be several."""
    if known in captions:
        return captions.index(known)
    words = _words(known)
    fitting = [k for k, text in enumerate(captions) if words and words <= _words(text)]
    if not fitting:  # a caption of the image itself says more than that of its class
        fitting = [k for k, text in enumerate(captions) if _words(text) <= words]
    return fitting[0] if len(fitting) == 1 else None


def _words(text: str) -> set[str]:
    """Words without the s of a plural: a class called root is what "roots in soil" shows."""
    return {word.removesuffix("s") for word in re.findall(r"[^\W_]+", text.lower())}
