"""Retrieval: the images that a caption fits best, and how often the right caption is found among many.

A caption is put to the choice among ``of`` captions, all different, that belong to as many images of the same set: by
chance the right one comes first in 1 of ``of``. Where a set has more images, they are dealt at random to as many such
groups as it fills, and the shares are over all of them.
"""

from collections.abc import Sequence

import numpy as np

from morphogen.evaluation.image_text import ImageText, name_of, share
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import CaptionRetrieval, Likeness
from morphogen.images.conditions import CAPTION
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.mathematics.randomness import numpy_generator
from morphogen.problems import Problem


def retrieve(model: ImageText, images: ImageSet, caption: str) -> tuple[list[int], list[Likeness]]:
    """All images, those that fit the caption best first.

    Args:
        model: a CLIP.
        images: where to look.
        caption: what is wanted.

    Returns:
        Indices of the images, and their cosines in the same order.
    """
    cosines = (model.images(images) @ model.captions([caption]).T)[:, 0]
    order = [int(k) for k in np.argsort(-cosines, kind="stable")]
    return order, [
        Likeness(image=name_of(images[k]), specimen=images[k].origin.specimen, cosines=(float(cosines[k]),))
        for k in order
    ]


def caption_retrieval(model: ImageText, images: ImageSet, *, of: int = 64, seed: int = 0) -> CaptionRetrieval:
    """How often an image's own caption comes first among so many.

    Args:
        model: a CLIP.
        images: with captions.
        of: captions to choose among, at least two.
        seed: of the groups and of the bootstrap.

    Raises:
        Problem: images without captions, or fewer different ones than are to be chosen among.
    """
    if of < 2:
        raise Problem(f"{of} caption leaves nothing to choose", do="ask for two or more")
    texts = []
    for picture in images:
        if CAPTION not in picture.labels:
            raise Problem(
                f"{name_of(picture)} has no caption", do="put a captions.csv beside the images, or say what to look for"
            )
        texts.append(str(picture.labels[CAPTION]))
    groups = _groups(texts, of, seed)
    if not groups:
        raise Problem(
            f"there are {len(set(texts))} different captions, fewer than the {of} to choose among",
            do=f"ask for at most {len(set(texts))}, or give more images",
        )
    first, among_five, image_first, specimens = [], [], [], []
    for group in groups:
        seen = model.images(Pictures(images[k] for k in group))
        likeness = seen @ model.captions([texts[k] for k in group]).T  # (of, of), rows are images
        own = np.diag(likeness)
        # What ties goes before the own: vectors that are all alike find none.
        before = (likeness >= own[:, None]).sum(axis=1) - 1
        first += [bool(b) for b in before == 0]
        among_five += [bool(b) for b in before < 5]
        image_first += [bool(b) for b in (likeness >= own).sum(axis=0) == 1]
        specimens += [images[k].origin.specimen for k in group]
    return CaptionRetrieval(
        model=model.name,
        extractor=model.identity,
        of=of,
        first=share(first, specimens, seed),
        among_five=share(among_five, specimens, seed),
        image_first=share(image_first, specimens, seed),
    )


def _groups(texts: Sequence[str], of: int, seed: int) -> list[list[int]]:
    """Images dealt to groups of ``of`` in which each caption is there once; what fills no group is left out."""
    groups: list[dict[str, int]] = []
    for k in numpy_generator(seed, Use.GROUPS_OF_CAPTIONS).permutation(len(texts)):
        place = next((group for group in groups if len(group) < of and texts[k] not in group), None)
        if place is None:
            place = {}
            groups.append(place)
        place[texts[k]] = int(k)
    return [list(group.values()) for group in groups if len(group) == of]
