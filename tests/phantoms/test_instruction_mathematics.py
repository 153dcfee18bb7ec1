"""Two guidances, and similarities of edits, against closed forms."""

import numpy as np
import torch

from morphogen.mathematics.directional_similarity import cosine, directional_similarity
from morphogen.mathematics.guidance import guided_twice


def test_two_guidances_give_the_score_of_the_sharpened_product():
    """Gaussians: what is told makes x_0 likelier about another mean, and D is Tweedie's formula on the scores."""
    sigma, x = torch.tensor([0.7, 0.7]), torch.tensor([[-0.4, 1.3], [0.2, 2.0]], dtype=torch.float64)
    known = {"neither": (0.0, 1.0), "image": (0.6, 0.5), "both": (0.9, 0.3)}  # mean and variance of x_0

    def log_density(x, name):
        mean, variance = known[name]
        return (-((x - mean) ** 2) / (2 * (variance + 0.49))).sum()

    def denoiser(name):
        mean, variance = known[name]
        return lambda x, sigma: mean + (x - mean) * variance / (variance + 0.49)

    def all_three(x, sigma):
        parts = zip(("both", "image", "neither"), x.chunk(3), sigma.chunk(3), strict=True)
        return torch.cat([denoiser(name)(x, s) for name, x, s in parts])

    s_image, s_text = 1.5, 4.0
    led = guided_twice(all_three, denoiser("both"), s_image, s_text)(x, sigma)
    place = x.clone().requires_grad_()
    product = log_density(place, "neither") + s_image * (log_density(place, "image") - log_density(place, "neither"))
    product = product + s_text * (log_density(place, "both") - log_density(place, "image"))
    (score,) = torch.autograd.grad(product, place)
    torch.testing.assert_close((led - x) / 0.49, score)
    # Weights of 1, and noise levels outside of the interval, are no guidance; and nothing else is asked then.
    for weights, interval in (((1.0, 1.0), (0.0, 9.0)), ((1.5, 4.0), (0.8, 9.0)), ((1.5, 4.0), (0.0, 0.6))):
        alone = guided_twice(None, denoiser("both"), *weights, *interval)(x, sigma)
        torch.testing.assert_close(alone, denoiser("both")(x, sigma))
    # An image within the interval beside one outside of it.
    mixed = guided_twice(all_three, denoiser("both"), s_image, s_text, 0.5, 1.0)(x, torch.tensor([0.7, 2.0]))
    torch.testing.assert_close(mixed, torch.stack([led[0], denoiser("both")(x, sigma)[1]]))


def test_an_edit_in_the_direction_of_its_caption_and_one_across_it():
    """Unit vectors in a plane: the cosine of the angle between the two changes, whatever the lengths."""
    angles = np.radians([0.0, 60.0, 90.0, 180.0])
    before = np.tile([1.0, 0.0, 0.0], (4, 1))
    turn = np.radians(20)
    after = np.stack([np.cos(turn) * np.ones(4), np.sin(turn) * np.cos(angles), np.sin(turn) * np.sin(angles)], 1)
    # Both changes have the same part along the common start and turn about it by the angle between them.
    text_after = np.tile([np.cos(turn), np.sin(turn), 0.0], (4, 1))
    along, across = 1 - np.cos(turn), np.sin(turn)
    expected = (along**2 + across**2 * np.cos(angles)) / (along**2 + across**2)
    found = directional_similarity(3 * before, 0.5 * after, 7 * before, text_after)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(cosine(before, after), np.cos(turn))
    # An image that has not changed goes in no direction, however much it is asked for.
    assert directional_similarity(before, 2 * before, before, text_after).tolist() == [0.0] * 4
