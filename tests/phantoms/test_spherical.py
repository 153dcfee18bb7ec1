"""Arcs between directions, the direction from one caption to another, and the scale of vectors, in closed form."""

import math

import torch
from torch.nn.functional import normalize

from morphogen.images.cropping import Batch
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.spherical import difference, spherical
from morphogen.networks.seen_vectors import SEEN, SeenVectors


def test_an_arc_keeps_the_length_that_a_straight_line_loses():
    a, b = torch.tensor([[3.0, 0, 0]]), torch.tensor([[0, 3.0, 0]])
    shares = torch.linspace(0, 1, 7)[:, None]
    arc = spherical(a, b, shares)
    torch.testing.assert_close(arc.norm(dim=1), torch.full((7,), 3.0))
    angles = torch.atan2(arc[:, 1], arc[:, 0])
    torch.testing.assert_close(angles, shares[:, 0] * math.pi / 2)
    torch.testing.assert_close(spherical(a, a, shares), a.expand(7, -1))
    torch.testing.assert_close(spherical(a, 2 * a, shares)[3], 1.5 * a[0])


def test_each_row_has_an_arc_of_its_own():
    """Bent for the first, straight for the second, which points one way; and each with its own share."""
    a, b = torch.tensor([[1.0, 0], [0, 2.0]]), torch.tensor([[0, 1.0], [0, 4.0]])
    found = spherical(a, b, torch.tensor([[1 / 3], [0.25]]))
    wanted = torch.tensor([[math.cos(math.pi / 6), math.sin(math.pi / 6)], [0, 2.5]])
    torch.testing.assert_close(found, wanted)


def test_a_text_difference_points_from_what_is_shown_to_what_is_wanted():
    shown, wanted = torch.tensor([[1.0, 0, 0]]), torch.tensor([[0, 1.0, 0]])
    towards = difference(wanted, shown)
    torch.testing.assert_close(towards, torch.tensor([[-1.0, 1, 0]]) / math.sqrt(2))
    torch.testing.assert_close(difference(3 * wanted, None), wanted)
    # An image at right angles to it turns by the share of a right angle, and gains on what is wanted alone.
    turned = spherical(torch.tensor([[0, 0, 1.0]]), towards, torch.tensor([[0.4]]))
    torch.testing.assert_close((turned @ towards.T).item(), math.sin(0.4 * math.pi / 2))
    assert (turned @ wanted.T).item() > 0 > (turned @ shown.T).item()


def test_vectors_come_to_mean_0_and_variance_1_and_keep_their_distances():
    cone = normalize(torch.tensor([5.0, 1, 0, 0]) + Randomness.of_images(0, 0, SEEN).normal(4), dim=1)
    seen = SeenVectors(4)
    seen.keep(lambda first, count: Batch(torch.empty(0), image_vector=cone[first : first + count]))
    inside = seen.inside(cone)
    torch.testing.assert_close(inside.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(inside.square().mean(), torch.tensor(1.0))
    assert (inside.var(0).max() / inside.var(0).min()) > 1.5  # not each entry by itself
    ratios = torch.cdist(inside[:9], inside[9:18]) / torch.cdist(cone[:9], cone[9:18])
    torch.testing.assert_close(ratios, ratios[:1, :1].expand(9, 9), rtol=1e-4, atol=0)
    torch.testing.assert_close(seen.outside(inside), cone)
    torch.testing.assert_close(seen.within_the_ball(inside), inside)
    far = seen.outside(seen.within_the_ball(seen.inside(3 * cone)))
    torch.testing.assert_close(far, cone)
    seen.keep(lambda first, count: Batch(torch.empty(0), image_vector=torch.zeros(count, 4)))
    assert torch.equal(seen.vectors, cone)  # kept once
