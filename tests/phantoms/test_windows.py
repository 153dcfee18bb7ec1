"""Denoisers through windows, against the same denoisers without."""

import itertools

import pytest
import torch
from torch.nn.functional import conv2d

from morphogen.mathematics.exact_denoisers import GaussianMixture
from morphogen.mathematics.noise_levels import geometric_steps, per_image
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers import dpm_solver
from morphogen.mathematics.windows import windowed

SIZES = [(16, 16), (16, 40), (17, 23), (61, 33)]
GREY = GaussianMixture(  # of a pixel: pores and grains
    torch.tensor([0.3, 0.7]).double(), torch.tensor([[-1.5], [0.6]]).double(), torch.tensor([[0.1], [0.2]]).double()
)


def pixelwise(x, sigma):
    """The exact denoiser of images whose pixels know nothing of each other."""
    pixels = x.reshape(-1, 1)
    return GREY.denoise(pixels, sigma.repeat_interleave(x[0].numel())).view_as(x)


def images(count, *shape, seed=0):
    return Randomness.of_images(seed, 0, count).normal(*shape).double()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("overlap", "margin"), [(0, 0), (5, 0), (5, 2), (8, 4), (15, 3)])
def test_weights_add_up_to_one_at_every_call(size, overlap, margin):
    seen = windowed(lambda x, sigma: torch.ones_like(x), (16, 16), overlap, margin=margin)
    x, sigma = torch.zeros(1, 1, *size).double(), torch.ones(1).double()
    for _ in range(30):
        torch.testing.assert_close(seen(x, sigma), torch.ones_like(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_a_pixelwise_denoiser_is_the_same_through_windows(size):
    x, sigma = images(2, 3, *size), torch.tensor([0.3, 2.0]).double()
    through = windowed(pixelwise, (16, 16), 6)
    for _ in range(4):
        torch.testing.assert_close(through(x, sigma), pixelwise(x, sigma))


def test_windows_fit_have_the_asked_overlap_and_move():
    asked = []

    def denoise(x, sigma):
        assert x.shape == (2, 1, 16, 12)
        asked.append(sigma)
        return x

    through = windowed(denoise, (16, 12), 4)
    starts, borders = [], torch.zeros(50)
    for _ in range(40):
        rows, _ = through.places((50, 30))
        tops = [top for top, _ in rows]
        starts.append(tuple(tops))
        assert tops[0] == 0
        assert tops[-1] == 50 - 16
        assert all(0 < b - a <= 16 - 4 for a, b in itertools.pairwise(tops))
        for top in tops[1:]:
            borders[top] += 1
        through(torch.zeros(2, 1, 50, 30), torch.ones(2))
    assert len(set(starts)) == 12  # as many as the stride, after which they come again
    assert borders[1:34].min() > 0  # every place was a border once
    assert borders[1:34].max() < 40 / 4  # and none often
    still = windowed(denoise, (16, 12), 4, shift=False)
    before = [top for top, _ in still.places((50, 30))[0]]
    still(torch.zeros(2, 1, 50, 30), torch.ones(2))
    assert [top for top, _ in still.places((50, 30))[0]] == before == [0, 12, 24, 34]


def test_weights_are_smooth():
    (first, second, *_), _ = windowed(pixelwise, (32, 32), 16, shift=False).places((80, 80))
    start, weight = second
    assert first[1][0] == 1  # nothing fades at the border of the image
    assert weight[0] < 0.01
    assert weight.diff().abs().max() < 0.11  # a ramp of 16 pixels, at its steepest pi / 2 / 16
    torch.testing.assert_close(first[1][start:], 1 - weight[:16])


def test_what_does_not_fit_is_refused():
    for window, overlap, margin in (((8, 8), 8, 0), ((8, 16), 9, 0), ((16, 16), 5, 3), ((16, 16), -1, 0)):
        with pytest.raises(ValueError, match="cannot overlap"):
            windowed(pixelwise, window, overlap, margin=margin)
    with pytest.raises(ValueError, match="smaller than the window"):
        windowed(pixelwise, (16, 16), 4)(torch.zeros(1, 1, 12, 30), torch.ones(1))


REACH = 4


def field_denoiser(x, sigma):
    """The linear denoiser of a smooth Gaussian field, cut off at a reach of 4 pixels.

    The spectrum is that of a Gaussian correlation of 1.5 pixels; the Wiener filter S / (S + sigma^2) is cut to 9 x 9
    pixels. What lies outside the image is taken for 0.
    """
    frequency = torch.fft.fftfreq(64, dtype=torch.float64)
    squared = frequency[:, None] ** 2 + frequency[None] ** 2
    spectrum = 2 * torch.pi * 1.5**2 * torch.exp(-2 * torch.pi**2 * 1.5**2 * squared)
    level = sigma[0].double()
    kernel = torch.fft.fftshift(torch.fft.ifft2(spectrum / (spectrum + level**2)).real)
    kernel = kernel[32 - REACH : 33 + REACH, 32 - REACH : 33 + REACH]
    return conv2d(x, kernel[None, None].to(x), padding=REACH)


def sampled(denoise, count, size):
    x = 8.0 * images(count, 1, *size, seed=4)
    return dpm_solver.solve(denoise, x, geometric_steps(16, 0.1, 8.0))


def correlation_across(fields, column):
    """Mean product of the pixels two apart on both sides of a column, over the variance."""
    left, right = fields[..., 4:-4, column - 1], fields[..., 4:-4, column + 1]
    return ((left * right).mean() / ((left.square().mean() * right.square().mean()).sqrt())).item()


def test_a_denoiser_of_finite_reach_is_the_same_through_windows_with_that_margin():
    through = windowed(field_denoiser, (24, 24), 2 * REACH + 4, margin=REACH)
    x, sigma = images(2, 1, 53, 40), torch.full((2,), 0.5).double()
    for _ in range(10):
        torch.testing.assert_close(through(x, sigma), field_denoiser(x, sigma))
    # A margin that is too small shows, so the one above is what helps.
    short = windowed(field_denoiser, (24, 24), 2 * REACH + 4, margin=REACH - 2)
    assert not torch.allclose(short(x, sigma), field_denoiser(x, sigma))


def test_windows_leave_the_correlation_across_their_borders_as_it_is_inside():
    count, size = 30, (48, 72)
    whole = sampled(field_denoiser, count, size)
    inside = [correlation_across(whole, column) for column in range(12, 60)]
    expected, chance = torch.tensor(inside).mean().item(), torch.tensor(inside).std().item()
    assert expected > 0.3
    blended = sampled(windowed(field_denoiser, (24, 24), 8), count, size)
    exact = sampled(windowed(field_denoiser, (24, 24), 2 * REACH + 2, margin=REACH), count, size)
    torch.testing.assert_close(exact, whole)
    # Without overlap and without moving, columns 24 and 48 are borders that the field does not cross.
    cut = sampled(windowed(field_denoiser, (24, 24), 0, shift=False), count, size)
    for column in (24, 48):
        assert correlation_across(blended, column) == pytest.approx(expected, abs=4 * chance)
        assert correlation_across(exact, column) == pytest.approx(expected, abs=4 * chance)
        assert correlation_across(cut, column) < expected - 8 * chance


def test_an_image_is_the_same_in_any_batch():
    def batch(first, count):
        x = Randomness.of_images(2, first, count).normal(1, 40, 30).double()
        return dpm_solver.solve(windowed(pixelwise, (16, 16), 6), 8 * x, geometric_steps(10, 0.1, 8.0))

    torch.testing.assert_close(batch(1, 2), batch(0, 4)[1:3])


def test_each_image_keeps_its_noise_level():
    x, sigma = images(3, 1, 20, 20), torch.tensor([0.1, 1.0, 10.0]).double()
    through = windowed(lambda x, sigma: per_image(sigma, x).expand_as(x), (16, 16), 4)
    torch.testing.assert_close(through(x, sigma), per_image(sigma, x).expand_as(x))
