"""How an edit looks in the space of CLIP: does the image change as the caption does, and is it still the same image?

With unit vectors i of an image and t of a caption, before and after, and cos(u, v) the cosine of two vectors,

    directional    cos(i_after - i_before, t_after - t_before)    Gal et al. 2022 (arXiv:2108.00946), equation 2
    image          cos(i_before, i_after)
    caption        cos(i, t)

Brooks, Holynski, Efros 2023 (arXiv:2211.09800), section 3.1.2, keep a pair of generated images where all of these are
above a threshold, and of each pair of captions those of the largest directional similarity.
"""

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]


def cosine(one: Features, other: Features) -> NDArray[np.float64]:
    """Cosine of rows ``(n, d)``: ``(n,)`` in [-1, 1]; 0 where one of the two is zero, and so has no direction."""
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    products = np.einsum("nd,nd->n", a, b)
    found: NDArray[np.float64] = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
    return found


def unit(vectors: Features) -> NDArray[np.float64]:
    """Rows ``(n, d)`` at length 1; a zero row stays zero."""
    rows = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return found


def directional_similarity(
    image_before: Features, image_after: Features, text_before: Features, text_after: Features
) -> NDArray[np.float64]:
    """Whether images change in the direction in which their captions do, ``(n,)`` in [-1, 1].

    Args:
        image_before: features of the images before, ``(n, d)``, of any length.
        image_after: of those after.
        text_before: of the captions before.
        text_after: of those after.

    Returns:
        0 where an image or a caption does not change at all.
    """
    return cosine(unit(image_after) - unit(image_before), unit(text_after) - unit(text_before))
