"""The learnt error of each noise level, against errors whose mean is known."""

import torch

from morphogen.mathematics.noise_levels import lognormal
from morphogen.networks.level_uncertainty import LevelUncertainty


def test_it_starts_as_the_plain_mean():
    assert torch.equal(LevelUncertainty()(torch.tensor([0.01, 1.0, 80.0])), torch.zeros(3))


def test_it_learns_the_log_of_the_mean_error_of_each_level():
    def expected(sigma):
        return torch.exp(-1.5 + 1.2 * torch.cos(sigma.log() / 1.5))

    chance, uncertainty = torch.Generator().manual_seed(1), LevelUncertainty()
    adam = torch.optim.Adam(uncertainty.parameters(), lr=3e-3)
    for _ in range(1500):
        sigma = lognormal(torch.rand(64, generator=chance), 1.0, 1.5)
        # The mean of 16 squares of normal numbers, times the mean that is to be found.
        error = expected(sigma) * torch.randn(64, 16, generator=chance).square().mean(1)
        u = uncertainty(sigma)
        (error * torch.exp(-u) + u).mean().backward()
        adam.step()
        adam.zero_grad()
    levels = torch.tensor([0.2, 0.5, 1.0, 2.7, 7.0, 20.0, 40.0])
    torch.testing.assert_close(uncertainty(levels), expected(levels).log(), rtol=0, atol=0.1)
