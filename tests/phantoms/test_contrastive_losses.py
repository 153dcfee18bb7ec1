"""Contrastive losses against what they are in closed form."""

import math

import pytest
import torch
from torch.nn.functional import normalize, softplus

from morphogen.mathematics.contrastive_losses import sigmoid_contrast, softmax_contrast

SCALE, BIAS = torch.tensor(3.0), torch.tensor(-2.0)


def unit(count: int, dimensions: int, seed: int = 0) -> torch.Tensor:
    return normalize(torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.mark.parametrize("count", [2, 7])
def test_matched_orthonormal_pairs(count):
    """Similarity t to one's own and 0 to the others."""
    x, true = torch.eye(count), torch.eye(count, dtype=torch.bool)
    softmax = math.log(1 + (count - 1) * math.exp(-3.0))
    torch.testing.assert_close(softmax_contrast(x, x, x, x, true, SCALE), torch.tensor(softmax))
    sigmoid = softplus(-(SCALE + BIAS)) + (count - 1) * softplus(BIAS)
    torch.testing.assert_close(sigmoid_contrast(x, x, true, SCALE, BIAS), sigmoid)


def test_vectors_that_are_all_alike_tell_as_much_as_a_die():
    x, true = unit(1, 4).expand(5, 4), torch.eye(5, dtype=torch.bool)
    torch.testing.assert_close(softmax_contrast(x, x, x, x, true, SCALE), torch.tensor(math.log(5)))


def test_two_images_of_one_caption_are_not_told_apart():
    """The least that is possible is the entropy of the choice between them: log 2, at any temperature."""
    x = torch.eye(3)[[0, 0, 1, 1, 2, 2]]
    true = (x[:, None] == x[None]).all(-1)
    torch.testing.assert_close(
        softmax_contrast(x, x, x, x, true, torch.tensor(1000.0)), torch.tensor(math.log(2)), atol=1e-4, rtol=0
    )
    wrong = torch.eye(6, dtype=torch.bool)  # as if each were the other's negative
    assert sigmoid_contrast(x, x, wrong, SCALE, BIAS) > sigmoid_contrast(x, x, true, SCALE, BIAS) + 0.5


def test_both_directions_count():
    """An image that its caption does not choose costs as much as a caption that its image does not."""
    x, y = unit(4, 3, 1), unit(4, 3, 2)
    true = torch.eye(4, dtype=torch.bool)
    torch.testing.assert_close(softmax_contrast(x, y, x, y, true, SCALE), softmax_contrast(y, x, y, x, true, SCALE))
    s = SCALE * x @ y.T
    by_hand = -(s.log_softmax(1).diagonal() + s.log_softmax(0).diagonal()).mean() / 2
    torch.testing.assert_close(softmax_contrast(x, y, x, y, true, SCALE), by_hand)


def test_halves_that_are_held_against_the_whole_average_to_it():
    x, y, true = unit(6, 5, 3), unit(6, 5, 4), torch.eye(6, dtype=torch.bool)
    whole = softmax_contrast(x, y, x, y, true, SCALE), sigmoid_contrast(x, y, true, SCALE, BIAS)
    halves = [
        (softmax_contrast(x[h], y[h], x, y, true[h], SCALE), sigmoid_contrast(x[h], y, true[h], SCALE, BIAS))
        for h in (slice(0, 3), slice(3, 6))
    ]
    for k in (0, 1):
        torch.testing.assert_close(whole[k], (halves[0][k] + halves[1][k]) / 2)
