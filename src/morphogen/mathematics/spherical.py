"""Arcs between directions: what lies between two vectors, where what counts is where they point.

Points on the arc of the great circle from a to b (Shoemake 1985; White 2016, arXiv:1609.04468),

    slerp(a, b; t) = sin((1 - t) theta) / sin(theta) a + sin(t theta) / sin(theta) b,   cos(theta) = a b / (|a| |b|)

so that for two of one length all have that length, and the angle to a is t theta. Where a and b point the same way it
is the straight line between them. From a to -a there is no shortest arc, and the straight line, which then is taken
too, goes through 0.

Text differences. Ramesh et al. 2022 (arXiv:2204.06125), section 3.3, in the space of a CLIP, with unit vectors z_i of
an image, z_t of what it is to show and z_0 of what it shows:

    z_d = (z_t - z_0) / |z_t - z_0|,    z = slerp(z_i, z_d; t)
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

_LEAST_SINE = 1e-4  # of the angle: below it float32 tells no arc from a line


def spherical(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """Points on the arc from ``a`` to ``b``, straight where there is none.

    Args:
        a: ``(m, n)``, or ``(1, n)`` for all shares.
        b: the same.
        shares: ``(m, 1)``, 0 at ``a`` and 1 at ``b``; or ``(1, 1)`` for all.

    Returns:
        ``(m, n)``.
    """
    angle = torch.arccos(cosine_similarity(a, b, dim=1).clamp(-1, 1))[:, None]  # (m, 1)
    sine = torch.sin(angle)
    bent = sine.abs() >= _LEAST_SINE
    sine = torch.where(bent, sine, 1.0)
    arc = (torch.sin((1 - shares) * angle) * a + torch.sin(shares * angle) * b) / sine
    return torch.where(bent, arc, torch.lerp(a, b, shares))


def difference(wanted: Tensor, shown: Tensor | None) -> Tensor:
    """The direction from what is shown to what is wanted, z_d: unit vectors ``(n, d)``.

    Args:
        wanted: z_t, unit vectors ``(n, d)``.
        shown: z_0, unit vectors ``(n, d)``; None where nothing says what is shown, and z_d is z_t.
    """
    return normalize(wanted if shown is None else wanted - shown, dim=1)
