"""What styles are made of, against naive forms and closed ones."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d, conv2d

from morphogen.mathematics.modulated_convolution import demodulation, modulated_convolution, modulated_projection
from morphogen.mathematics.path_length import path_lengths
from morphogen.mathematics.pooled_convolution import pooled_convolution


def kernels_of_images(weight, style, *, demodulate):
    """A kernel for each image, as the paper writes it (equations 1 and 3)."""
    kernels = weight[None] * style[:, None, :, None, None]  # (B, D, C, h, w)
    return kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt() if demodulate else kernels


def convolved_one_by_one(x, kernels):
    pad = kernels.shape[-1] // 2
    return torch.cat([conv2d(image[None], kernel, padding=pad) for image, kernel in zip(x, kernels, strict=True)])


@pytest.fixture
def case():
    torch.manual_seed(0)
    x, weight, style = torch.randn(3, 5, 6, 9), torch.randn(4, 5, 3, 3), 1 + torch.randn(3, 5)
    return [t.double().requires_grad_() for t in (x, weight, style)]


def test_scaling_input_and_output_is_a_kernel_for_each_image(case):
    x, weight, style = case
    ours = modulated_convolution(x, weight, style) * demodulation(weight, style)[:, :, None, None]
    naive = convolved_one_by_one(x, kernels_of_images(weight, style, demodulate=True))
    torch.testing.assert_close(ours, naive)
    probe = torch.randn_like(ours)
    for here, there in zip(
        torch.autograd.grad((ours * probe).sum(), case, create_graph=True),
        torch.autograd.grad((naive * probe).sum(), case, create_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(here, there)
        second = [torch.autograd.grad(g.square().sum(), style, retain_graph=True)[0] for g in (here, there)]
        torch.testing.assert_close(*second)


def test_a_projection_is_a_modulated_convolution_of_one_pixel(case):
    x, weight, style = case
    naive = convolved_one_by_one(x, kernels_of_images(weight[:, :, :1, :1], style, demodulate=False))
    torch.testing.assert_close(modulated_projection(x, weight[:, :, 0, 0], style), naive)
    last = x.detach().contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(modulated_projection(last, weight[:, :, 0, 0], style), naive)


def test_demodulation_undoes_the_size_of_style_and_of_noise():
    """White noise of any strength of style leaves with variance 1: what demodulation is for."""
    torch.manual_seed(1)
    x, weight, style = torch.randn(2, 16, 64, 64), torch.randn(8, 16, 3, 3), torch.randn(2, 16)
    factor = demodulation(weight, style)
    out = modulated_convolution(x, weight, style)[..., 1:-1, 1:-1] * factor[:, :, None, None]
    torch.testing.assert_close(out.var((2, 3)), torch.ones(2, 8), rtol=0.15, atol=0.0)
    torch.testing.assert_close(demodulation(weight, 10 * style), factor / 10)


def test_a_pooled_convolution_is_a_convolution_and_then_the_mean_of_squares():
    torch.manual_seed(2)
    x, weight, bias = torch.randn(2, 3, 8, 12), torch.randn(5, 3, 3, 3), torch.randn(5)
    x.requires_grad_()
    weight.requires_grad_()
    ours, naive = pooled_convolution(x, weight, bias), avg_pool2d(conv2d(x, weight, bias, padding=1), 2)
    torch.testing.assert_close(ours, naive, rtol=1e-4, atol=1e-5)
    for wrt in (x, weight):
        gradients = [torch.autograd.grad(y.square().sum(), wrt, retain_graph=True)[0] for y in (ours, naive)]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_path_lengths_of_a_linear_generator_are_known():
    """G(w) = A w in every layer: J^T y = A^T y / sqrt(pixels), whatever w is."""
    torch.manual_seed(3)
    matrices = torch.randn(3, 2 * 4 * 6, 5)  # a layer each
    styles = torch.randn(7, 3, 5, requires_grad=True)
    images = torch.einsum("lpd,bld->bp", matrices, styles).view(7, 2, 4, 6)
    directions = torch.randn_like(images)
    found = path_lengths(images, styles, directions)
    each = torch.einsum("lpd,bp->bld", matrices, directions.flatten(1)).norm(dim=2) / math.sqrt(4 * 6)
    torch.testing.assert_close(found, each.square().mean(1).sqrt())


def test_path_lengths_can_be_trained():
    """G(w) = a w of one pixel has the length |a y|: the gradient of its square to a is 2 a y^2."""
    factor = torch.tensor(3.0, requires_grad=True)
    styles = torch.tensor([[[0.7]]], requires_grad=True)
    lengths = path_lengths((factor * styles).view(1, 1, 1, 1), styles, torch.tensor([[[[-2.0]]]]))
    assert float(lengths.detach()) == pytest.approx(6.0)
    lengths.square().sum().backward()
    assert float(factor.grad) == pytest.approx(2 * 3.0 * 4.0)
