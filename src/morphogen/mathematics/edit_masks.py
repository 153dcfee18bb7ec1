"""Where an edit acts: masks from how much two captions disagree about a place, or how much a word attends to it.

contrast   Couairon et al. 2022 (arXiv:2210.11427), section 3.2: the difference of two estimates, averaged over
           noises, without extreme values, scaled to [0, 1], cut at a half. "Without extreme values" is not said
           more exactly there; here, as in the code of diffusers, what exceeds three times the mean is that
largest    Brack et al. 2023 (arXiv:2311.16711), equations 6 and 8: what is above a quantile of the image
"""

import torch
from torch import Tensor

CAP = 3.0
"""Contrasts above so many times the mean of an image are taken for extreme."""


def scaled_contrast(contrast: Tensor, cap: float = CAP) -> Tensor:
    """Contrasts ``(B, h, w)``, not negative, from 0 to 1 in each image; all 0 where there is none."""
    most = cap * contrast.flatten(1).mean(1)[:, None, None]
    scaled: Tensor = torch.where(most > 0, contrast / most.clamp(min=torch.finfo(contrast.dtype).tiny), 0).clamp(max=1)
    return scaled


def largest_share(values: Tensor, share: float) -> Tensor:
    """True at the places ``(B, h, w)`` whose values are the largest of their image, a share of all of them.

    Nowhere in an image whose values are all equal: none of them stands out.
    """
    flat = values.flatten(1)
    edge = flat.quantile(1 - share, dim=1, keepdim=True)
    chosen = (flat >= edge) & (flat > flat.min(1, keepdim=True).values)
    return chosen.view_as(values)
