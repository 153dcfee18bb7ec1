"""The diffusion transformer: positions, ways of conditioning, texts of different lengths."""

import pytest
import torch

from morphogen.images.conditions import Conditions, NumberCondition, TextCondition
from morphogen.methods.denoising import Given
from morphogen.methods.dit import Method, Settings, positions
from morphogen.methods.method import ImageShape, Task, method_settings
from morphogen.problems import Problem

SMALL = {"width": 16, "depth": 2, "heads": 2, "patch": 4}
WAYS = ("adaln_zero", "cross_attention", "in_context")
CONDITIONS = Conditions(
    numbers=(NumberCondition(name="porosity", low=0.0, high=1.0),),
    text=TextCondition(name="caption", encoder="none", width=6),
)


def build(conditioning: str = "adaln_zero", conditions: Conditions = CONDITIONS, awake: bool = True) -> Method:
    torch.manual_seed(0)
    method = Method(Settings(**SMALL, conditioning=conditioning), Task(ImageShape(1, 16, 24), conditions))
    if awake:
        with torch.no_grad():
            for parameter in method.network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return method.eval()


def told(tokens: int = 5, length: int = 5, count: int = 2) -> Given:
    random = torch.Generator().manual_seed(1)
    states = torch.randn(count, tokens, 7, generator=random)
    states[..., -1] = 1
    filled = torch.zeros(count, length, 7)
    filled[:, :tokens] = states
    return Given(torch.rand(count, 7, generator=random), torch.ones(count, 2), filled)


IMAGES, LEVEL = torch.randn(2, 1, 16, 24, generator=torch.Generator().manual_seed(2)), torch.tensor([-50.0, 100.0])


@torch.no_grad()
@pytest.mark.parametrize("way", WAYS)
def test_a_fresh_network_predicts_nothing_and_so_starts_at_the_best_linear_guess(way):
    assert (build(way, awake=False).predict(IMAGES, LEVEL, told()) == 0).all()


@torch.no_grad()
def test_every_block_of_adaln_zero_starts_as_the_identity():
    method = build(awake=False)
    x, embedding = torch.randn(2, 24, 16), torch.randn(2, 16)
    for block in method.network.blocks:
        assert torch.equal(block(x, embedding, x, torch.ones(2, 24, dtype=torch.bool)), x)


@torch.no_grad()
@pytest.mark.parametrize("way", WAYS)
def test_the_end_of_a_text_that_was_filled_up_is_not_read(way):
    method = build(way)
    short, long = (method.predict(IMAGES, LEVEL, told(length=n)) for n in (5, 16))
    torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("way", ["cross_attention", "in_context"])
def test_the_tokens_of_a_text_are_read_and_not_its_vector_alone(way):
    method, given = build(way), told()
    other = Given(given.vector, given.told, given.tokens.flip(1).roll(1, 2) * given.tokens[..., -1:])
    other.tokens[..., -1] = 1
    assert not torch.allclose(method.predict(IMAGES, LEVEL, given), method.predict(IMAGES, LEVEL, other), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("way", WAYS)
def test_noise_level_and_condition_count_each_for_its_own_image(way):
    method, given = build(way), told()
    both = method.predict(IMAGES, LEVEL, given)
    alone = Given(given.vector[1:], given.told[1:], given.tokens[1:])
    torch.testing.assert_close(method.predict(IMAGES[1:], LEVEL[1:], alone), both[1:], rtol=1e-4, atol=1e-5)
    elsewhere = method.predict(IMAGES, torch.tensor([-50.0, 120.0]), given)
    torch.testing.assert_close(elsewhere[0], both[0])
    assert not torch.allclose(elsewhere[1], both[1], atol=1e-4)


def test_no_two_places_of_a_rectangle_have_one_code():
    codes = positions(6, 9, 16)
    assert codes.shape == (54, 16)
    apart = torch.cdist(codes, codes) + torch.eye(54)
    assert float(apart.min()) > 0.05
    by_place = codes.view(6, 9, 16)
    assert torch.equal(by_place[2, :, :8], by_place[2, :1, :8].expand(9, -1))  # half says the row, half the column
    assert torch.equal(by_place[:, 4, 8:], by_place[:1, 4, 8:].expand(6, -1))


@torch.no_grad()
def test_without_attention_a_token_makes_its_own_square_of_pixels():
    """What is shown in one square changes the prediction there alone: nothing is turned or swapped on the way."""
    method = build("adaln_zero", Conditions())
    for block in method.network.blocks:
        for parameter in block.attention.out.parameters():
            parameter.zero_()
    changed = IMAGES.clone()
    changed[:, :, 4:8, 12:16] += 1
    change = (method.predict(changed, LEVEL, Given()) - method.predict(IMAGES, LEVEL, Given())).abs() > 1e-7
    inside = torch.zeros_like(change)
    inside[:, :, 4:8, 12:16] = True
    assert (change <= inside).all()
    assert change[inside].float().mean() > 0.9


@pytest.mark.parametrize("wrong", [{"width": 18, "heads": 3}, {"width": 20, "heads": 3}])
def test_a_width_that_does_not_divide_is_refused(wrong):
    with pytest.raises(Problem, match="a width that is a multiple of heads and of 4"):
        method_settings("dit", wrong)
