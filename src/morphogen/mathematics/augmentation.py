"""Adaptive discriminator augmentation: transforms. Karras et al. 2020 (arXiv:2006.06676), section 2 and appendix B.

A discriminator that only ever sees augmented images, measured and generated alike, cannot learn a small set by heart.
The generator still learns the images themselves as long as the transforms do not leak: as long as the distribution of
images can be told from that of augmented ones. Each transform is therefore *skipped* with probability 1 - p, and p has
to stay below 1 (the paper keeps it below 0.8): at p = 1 images turned at random look the same whichever way up the
generator draws them.

The paper's transforms that a specimen can allow, in the paper's order, each with probability p:

    flip_horizontal   x -> reflected left to right, with a second coin: with p and 1/2 (appendix B, "x-flip")
    flip_vertical     the same upside down
    quarter_turn      by 0, 1, 2 or 3 quarter turns; rectangles by 0 or 2
    shift             by round(W U(-1/8, 1/8)), round(H U(-1/8, 1/8)) pixels
    rotation          by an angle from U(-pi, pi)
    brightness        x + b,     b ~ N(0, 0.2^2)
    contrast          2^c x,     c ~ N(0, 0.5^2)

Why the second coin: a flip with probability p alone has the eigenvalue 1 - 2p, so that at p = 1/2 of all values both
ways round are equally frequent; with the coin it is 1 - p, which vanishes at p = 1 only (appendix C). So a flip is
seen with frequency p / 2, a turned square with 3 p / 4.

Deviations. Scaling is left out: physical sizes are what we want the generator to get right; so are colour
rotations, noise and cutout, which no specimen allows. One rotation, not two, for there is no scaling between them.
Flips, quarter turns and shifts move pixels and never mix them; a rotation is a bicubic interpolation in place of the
paper's wavelet filters. Borders are reflected at the outer edge of the last pixel.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from morphogen.mathematics.randomness import Randomness

TRANSFORMS = ("flip_horizontal", "flip_vertical", "quarter_turn", "shift", "rotation", "brightness", "contrast")
"""The transforms, in the order in which they are applied."""

SHIFT = 0.125
"""A shift is at most this share of the height and width."""

BRIGHTNESS = 0.2
"""Standard deviation of what is added, for images in [-1, 1]."""

CONTRAST = 0.5
"""Standard deviation of the binary logarithm of the factor."""

_PARAMETERS = 6  # numbers from U[0, 1) that say how: two flips, quarter turns, two of the shift, angle


def augment(
    images: Tensor,
    randomness: Randomness,
    probability: Tensor | float,
    allowed: frozenset[str],
    mask_channels: int = 0,
) -> Tensor:
    """Images as a discriminator may see them.

    What happens to an image depends on its stream, on the probability and on what is allowed, never on the batch. Every
    call takes the same numbers from each stream, also where nothing is allowed or happens, so that what is drawn
    afterwards is the same. Differentiable with respect to the images; twice only without "rotation".

    Args:
        images: ``(B, C, H, W)`` in [-1, 1].
        randomness: one stream an image.
        probability: of each transform, 0 to 1.
        allowed: some of ``TRANSFORMS``.
        mask_channels: how many of the last channels are masks, which move with the image and have no brightness and
            no contrast.

    Returns:
        ``(B, C, H, W)``; brightness and contrast may leave [-1, 1].

    Raises:
        ValueError: there is no such transform, or not one stream an image.
    """
    if unknown := allowed - set(TRANSFORMS):
        raise ValueError(f"there is no augmentation {', '.join(sorted(unknown))}; choose among {', '.join(TRANSFORMS)}")
    if len(randomness) != len(images):
        raise ValueError(f"{len(randomness)} streams for {len(images)} images")
    uniform = randomness.uniform(len(TRANSFORMS) + _PARAMETERS)  # (B, 13)
    normal = randomness.normal(2)  # (B, 2)
    happens = dict(zip(TRANSFORMS, (uniform[:, : len(TRANSFORMS)] < probability).unbind(1), strict=True))
    how = uniform[:, len(TRANSFORMS) :]
    x = images
    if allowed & {"flip_horizontal", "flip_vertical", "quarter_turn", "shift"}:
        x = _moved(x, {name: coins for name, coins in happens.items() if name in allowed}, how)
    if "rotation" in allowed:
        chosen = happens["rotation"].nonzero().squeeze(1)  # interpolating is dear: only those that are turned
        angle = (2 * how[chosen, 5] - 1) * math.pi
        x = x.index_copy(0, chosen, _rotated(x[chosen], angle)) if len(chosen) else x
    if allowed & {"brightness", "contrast"}:
        grey, mask = x[:, : x.shape[1] - mask_channels], x[:, x.shape[1] - mask_channels :]
        normal = normal.to(x.dtype)[:, :, None, None, None]  # (B, 2, 1, 1, 1)
        if "brightness" in allowed:
            grey = grey + BRIGHTNESS * normal[:, 0] * happens["brightness"][:, None, None, None]
        if "contrast" in allowed:
            grey = grey * torch.exp2(CONTRAST * normal[:, 1] * happens["contrast"][:, None, None, None])
        x = torch.cat([grey, mask], dim=1) if mask_channels else grey
    return x


def _moved(x: Tensor, happens: dict[str, Tensor], how: Tensor) -> Tensor:
    """Flips, quarter turns and shifts, as one gather: out[i, j] = in at place A[i] + B[j] of the flattened image."""
    count, channels, height, width = x.shape
    square = height == width
    never = torch.zeros(count, dtype=torch.bool, device=how.device)
    mirrored = happens.get("flip_horizontal", never) & (how[:, 0] < 0.5)
    upside_down = happens.get("flip_vertical", never) & (how[:, 1] < 0.5)
    turns = (how[:, 2] * 4).long() if square else (how[:, 2] * 2).long() * 2  # counter-clockwise
    turns = turns * happens.get("quarter_turn", never)
    shifts = ((2 * how[:, 3:5] - 1) * SHIFT * how.new_tensor([height, width])).round().long()
    shifts = shifts * happens.get("shift", never)[:, None]
    # Backwards from the output: the shift is undone first, then the turn, which for odd numbers swaps i and j.
    i = _reflected(torch.arange(height, device=how.device) - shifts[:, :1], height)  # (B, H)
    j = _reflected(torch.arange(width, device=how.device) - shifts[:, 1:], width)  # (B, W)
    rows_backwards = ((turns == 2) | (turns == 3)) ^ upside_down
    columns_backwards = ((turns == 1) | (turns == 2)) ^ mirrored
    odd = (turns % 2 == 1)[:, None]
    row_of_i, row_of_j = _backwards(i, height, rows_backwards), _backwards(j, height, rows_backwards)
    column_of_i, column_of_j = _backwards(i, width, columns_backwards), _backwards(j, width, columns_backwards)
    if square:
        from_i = torch.where(odd, column_of_i, row_of_i * width)  # (B, H)
        from_j = torch.where(odd, row_of_j * width, column_of_j)  # (B, W)
    else:
        from_i, from_j = row_of_i * width, column_of_j
    places = (from_i[:, :, None] + from_j[:, None, :]).flatten(1)  # (B, H W)
    moved = x.flatten(2).gather(2, places[:, None].expand(-1, channels, -1))
    return moved.view_as(x)


def _reflected(index: Tensor, size: int) -> Tensor:
    """Indices outside 0 to size - 1 reflected at -1/2 and size - 1/2."""
    folded = index.remainder(2 * size)
    return torch.minimum(folded, 2 * size - 1 - folded)


def _backwards(index: Tensor, size: int, chosen: Tensor) -> Tensor:
    return torch.where(chosen[:, None], size - 1 - index, index)


def _rotated(x: Tensor, angle: Tensor) -> Tensor:
    """Turned by angles ``(B,)`` counter-clockwise, rows downwards, around the centre."""
    height, width = x.shape[2:]
    cosine, sine = angle.to(x.dtype).cos(), angle.to(x.dtype).sin()
    nothing = torch.zeros_like(cosine)
    # From the output's (column, row) to the input's, in units of half a width and half a height.
    inverse = torch.stack(
        [cosine, -sine * height / width, nothing, sine * width / height, cosine, nothing], dim=1
    )  # (B, 6)
    with torch.autocast(x.device.type, enabled=False):  # in bf16 the places would be off by a tenth of a pixel
        grid = affine_grid(inverse.view(-1, 2, 3), list(x.shape), align_corners=False)
    return grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
