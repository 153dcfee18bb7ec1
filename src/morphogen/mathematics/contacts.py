"""Whether two bodies overlap: by what factor mu both must be scaled about their centres until they touch.

Below 1 they overlap. Its derivative with respect to R, from centre to centre, says how to push them apart.

Segments with a radius (spherocylinders; only the radii are scaled): mu is the least distance of the segments over the
sum of the radii. The nearest points solve a quadratic programme in two shares; see Eberly, Robust computation of
distance between line segments (2018): the minimum lies inside, or on one of the four sides of the square.

Ellipsoids with matrices A, B of squared half axes: Perram and Wertheim, J. Comput. Phys. 58 (1985) 409,

    mu^2 = max over l in (0, 1) of F(l) = l (1 - l) R' [(1 - l) A + l B]^-1 R,    dF/dR = 2 l (1 - l) [...]^-1 R

(the derivative by the envelope theorem). F is concave; an l that is not quite the maximum underestimates mu, so that an
overlap is never passed over. In three dimensions the adjugate is quadratic in l and the determinant cubic, so that F
is a ratio of polynomials whose coefficients are found once a pair.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def between_segments(R: Floats, first: Floats, second: Floats) -> Floats:
    """Shortest vector from one segment to another, ``(n, 3)``.

    Args:
        R: ``(n, 3)``, from the middle of the first to the middle of the second.
        first: ``(n, 3)``, half of the first segment, from its middle to one end; may be zero.
        second: the same of the second.
    """
    a = np.maximum((first * first).sum(-1), 1e-300)
    c = np.maximum((second * second).sum(-1), 1e-300)
    b = (first * second).sum(-1)
    d, e = (first * R).sum(-1), (second * R).sum(-1)
    # |R + t second - s first|^2, s and t in [-1, 1]
    determinant = a * c - b * b
    apart = np.where(determinant > 1e-12 * a * c, determinant, np.inf)  # parallel: any s that t can follow
    s = np.clip((d * c - b * e) / apart, -1, 1)
    t = np.clip((s * b - e) / c, -1, 1)
    s = np.clip((d + t * b) / a, -1, 1)
    t = np.clip((s * b - e) / c, -1, 1)
    best = R + t[:, None] * second - s[:, None] * first
    least = (best * best).sum(-1)
    for end in (-1.0, 1.0):  # the four sides of the square
        t = np.clip((end * b - e) / c, -1, 1)
        for s_, t_ in ((np.full_like(t, end), t), (np.clip((d + end * b) / a, -1, 1), np.full_like(t, end))):
            way = R + t_[:, None] * second - s_[:, None] * first
            length = (way * way).sum(-1)
            shorter = length < least
            best[shorter], least[shorter] = way[shorter], length[shorter]
    return np.asarray(best)


def between_ellipsoids(R: Floats, A: Floats, B: Floats, steps: int = 16) -> tuple[Floats, Floats]:
    """The factor mu and its derivative with respect to R.

    Args:
        R: ``(n, 3)``, from the centre of the first to that of the second.
        A: ``(n, 3, 3)``, squared half axes of the first as a matrix.
        B: the same of the second.
        steps: bisections of l; 16 give F to 1e-9.

    Returns:
        mu ``(n,)`` and its derivative ``(n, 3)``.
    """
    D = B - A
    # adj((1 - l) A + l B) = adj A + l X + l^2 adj D: X from the value at l = 1.
    adj_A, adj_B, adj_D = _adjugate(A), _adjugate(B), _adjugate(D)
    X = adj_B - adj_A - adj_D
    n0, n1, n2 = (np.einsum("ni,nij,nj->n", R, M, R) for M in (adj_A, X, adj_D))
    d0, d3 = _determinant(A, adj_A), _determinant(D, adj_D)
    d1 = np.einsum("nij,nji->n", adj_A, D)  # derivative of the determinant at l = 0
    d2 = _determinant(B, adj_B) - d0 - d1 - d3
    low, high = np.zeros(len(R)), np.ones(len(R))
    for _ in range(steps):
        l = (low + high) / 2  # noqa: E741
        numerator = l * (1 - l) * (n0 + l * (n1 + l * n2))
        slope = (1 - 2 * l) * (n0 + l * (n1 + l * n2)) + l * (1 - l) * (n1 + 2 * l * n2)
        determinant = d0 + l * (d1 + l * (d2 + l * d3))
        climbs = slope * determinant > numerator * (d1 + l * (2 * d2 + 3 * l * d3))
        low, high = np.where(climbs, l, low), np.where(climbs, high, l)
    l = ((low + high) / 2)[:, None]  # noqa: E741
    l_ = l[..., None]
    inverse = (adj_A + l_ * (X + l_ * adj_D)) / (d0[:, None] + l * (d1[:, None] + l * (d2[:, None] + l * d3[:, None])))[
        ..., None
    ]
    half = l * (1 - l) * np.einsum("nij,nj->ni", inverse, R)  # dF/dR / 2
    mu = np.sqrt(np.maximum((half * R).sum(-1), 1e-300))
    return mu, half / mu[:, None]


def _adjugate(M: Floats) -> Floats:
    """Of symmetric matrices ``(n, 3, 3)``: the cross products of their rows."""
    return np.stack([np.cross(M[:, 1], M[:, 2]), np.cross(M[:, 2], M[:, 0]), np.cross(M[:, 0], M[:, 1])], axis=1)


def _determinant(M: Floats, adjugate: Floats) -> Floats:
    return np.asarray((M[:, 0] * adjugate[:, 0]).sum(-1))
