"""CLIPScore: how well images fit what is said of them (Hessel et al. 2021, arXiv:2104.08718).

With unit vectors x of an image and y of its caption, papers give one measure on three scales, and seldom say which:

    cosine                x . y
    100 x cosine          100 x . y             as in torchmetrics, and in most papers on text to image
    2.5 max(0, cosine)    2.5 max(0, x . y)     CLIPScore as it was defined, equation 1

Each row has its scale, the model, and what was done to the images. A CLIP that was trained on photographs tells little
of micrographs, and none tells the truth of a number in a caption unless it has learnt to: ``retrieval`` says how often
it picks the right caption of many, which is the measure of what its scores are worth.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from morphogen.evaluation.compared_set import ComparedSet
from morphogen.evaluation.image_text import ImageText
from morphogen.evaluation.intervals import Replicates, mean_replicates
from morphogen.evaluation.random_streams import Use
from morphogen.evaluation.records import CaptionScore
from morphogen.images.conditions import ASKED, CAPTION
from morphogen.images.image_set import ImageSet
from morphogen.images.picture import TOLD_BY, Label

CONVENTIONS = ("cosine", "100 x cosine", "2.5 max(0, cosine)")

Values = NDArray[np.float64]


def on_scale(cosines: Values, convention: str) -> Values:
    """Cosines as a convention gives them."""
    scaled: dict[str, Values] = {
        "cosine": cosines,
        "100 x cosine": 100 * cosines,
        "2.5 max(0, cosine)": 2.5 * np.maximum(cosines, 0),
    }
    return scaled[convention]


def caption_of(labels: Mapping[str, Label]) -> str:
    """What was asked of a generated image, or else what is said of it; "" for nothing."""
    return str(labels.get(ASKED + CAPTION, labels.get(CAPTION, "")))


def caption_cosines(model: ImageText, images: ImageSet, caption: str | None = None) -> Values | None:
    """Cosine of each image with its caption ``(len(images),)``; None where one has none.

    Args:
        model: a CLIP.
        images: the images.
        caption: one for all of them, instead of their own.
    """
    texts = [caption if caption is not None else caption_of(picture.labels) for picture in images]
    if not all(text.strip() for text in texts):
        return None
    different = list(dict.fromkeys(texts))
    place = [different.index(text) for text in texts]
    cosines: Values = (model.images(images) * model.captions(different)[place]).sum(axis=1)
    return cosines


def caption_scores(
    sets: Sequence[ComparedSet],
    models: Sequence[ImageText],
    caption: str | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[list[CaptionScore], list[str]]:
    """The mean of each set under each model, on each scale, with its interval.

    Args:
        sets: the sets, each under its name.
        models: CLIPs.
        caption: one for all images, instead of their own.
        seed: of the bootstrap.
        resamples: replicates of the bootstrap.

    Returns:
        The scores, and remarks on sets that have none, or that were made to please the model.
    """
    scores, notes = [], []
    for model in models:
        for s in sets:
            cosines = caption_cosines(model, s.images, caption)
            if cosines is None:
                notes.append(f"{s.name} has no CLIPScore: not every image has a caption.")
                continue
            if len(cosines) < 2:
                notes.append(f"{s.name} has no CLIPScore: one image gives no interval.")
                continue
            if any(picture.labels.get(TOLD_BY) == model.identity for picture in s.images):
                notes.append(f"{s.name} was drawn for vectors of {model.name}, whose CLIPScore of it is no evidence.")
            for convention in CONVENTIONS:
                values = on_scale(cosines, convention)
                draws = mean_replicates(values, s.groups, resamples, seed, Use.WEIGHTS_OF_CAPTIONS)
                found = Replicates.around(float(values.mean()), draws, len(values), len(values))
                scores.append(
                    CaptionScore(
                        convention=convention,
                        model=model.name,
                        extractor=model.identity,
                        caption=caption or "",
                        compared=s.name,
                        role=s.role,
                        estimate=found.estimate,
                    )
                )
    return scores, list(dict.fromkeys(notes))
