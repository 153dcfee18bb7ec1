"""What every denoising method promises beside what all methods do: solvers, conditions, guidance, windows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from morphogen.generation.generate import generate, require_able
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin
from morphogen.mathematics.randomness import Randomness
from morphogen.mathematics.solvers.solver import solver_names
from morphogen.methods.denoising import DenoisingMethod, Given
from morphogen.methods.method import (
    SampleRequest,
    Task,
    method_class,
    method_names,
    method_settings,
)
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.training.control import control
from morphogen.training.distil import distil
from morphogen.training.train import train
from small_sets import SMALL, random_set, small_task

DENOISING = [
    name
    for name in method_names()
    if issubclass(kind := method_class(name), DenoisingMethod) and not kind.learns_from and not kind.needs_context
]


@pytest.fixture(params=DENOISING)
def name(request) -> str:
    return request.param


def awake(name: str, task: Task, **changes) -> DenoisingMethod:
    """A method whose network says something: as they are built, they predict nothing at all."""
    torch.manual_seed(1)
    method = method_class(name)(method_settings(name, SMALL[name] | changes), task)
    with torch.no_grad():
        for parameter in method.network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return method.eval()


@torch.no_grad()
def drawn(method: DenoisingMethod, first: int = 0, count: int = 2, **request) -> torch.Tensor:
    rows = {key: value[first : first + count] for key, value in request.items() if isinstance(value, torch.Tensor)}
    return method.sample(SampleRequest(**request | rows), Randomness.of_images(3, first, count))


@pytest.fixture
def conditioned(name) -> DenoisingMethod:
    return awake(name, small_task(name, 1, 16, 24, conditioned=True))


def vectors(method: DenoisingMethod, count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, method.task.conditions.width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("solver", solver_names())
def test_any_solver_draws_from_any_method_and_one_image_at_a_time(name, solver):
    method = awake(name, small_task(name, 1, 16, 24))
    both = drawn(method, count=2, solver=solver, steps=2)
    assert torch.isfinite(both).all()
    assert not torch.allclose(both[0], both[1])
    torch.testing.assert_close(
        drawn(method, first=1, count=1, solver=solver, steps=2)[0], both[1], rtol=1e-3, atol=1e-3
    )


def test_a_condition_changes_the_image_unless_it_is_not_told(conditioned):
    one, other = vectors(conditioned, seed=1), vectors(conditioned, seed=2)
    assert not torch.allclose(drawn(conditioned, condition=one), drawn(conditioned, condition=other), atol=1e-4)
    untold = [drawn(conditioned, condition=c, guidance=0.0) for c in (one, other)]
    torch.testing.assert_close(*untold)


def test_guidance_goes_beyond_the_condition_and_only_inside_its_interval(conditioned):
    condition = vectors(conditioned)
    as_told = drawn(conditioned, condition=condition)
    torch.testing.assert_close(drawn(conditioned, condition=condition, guidance=1.0), as_told)
    further = drawn(conditioned, condition=condition, guidance=3.0)
    assert not torch.allclose(further, as_told, atol=1e-4)
    nowhere = drawn(conditioned, condition=condition, guidance=3.0, guidance_interval=(1e5, 1e6))
    torch.testing.assert_close(nowhere, as_told)
    everywhere = drawn(conditioned, condition=condition, guidance=3.0, guidance_interval=(0.0, 1e6))
    torch.testing.assert_close(everywhere, further)


def test_each_condition_is_left_out_in_its_share_of_images(name):
    method = awake(name, small_task(name, 1, 16, 24, conditioned=True), condition_dropout=0.3)
    count, kinds = 2000, len(method.task.conditions.widths)
    given = Given(torch.zeros(count, method.task.conditions.width), torch.ones(count, kinds))
    told = method._told_some(given, Randomness.of_images(0, 0, count)).told
    assert kinds == 2
    np.testing.assert_allclose(told.mean(0), 0.7**2, atol=0.04)  # by itself, and with all others
    assert float((told.sum(1) == 0).float().mean()) == pytest.approx(0.3 + 0.7 * 0.3**2, abs=0.04)


def test_what_is_left_out_leaves_no_trace(name):
    """Neither a vector, nor the tokens of a text, nor an image in register."""
    told = Given(torch.rand(3, 2), torch.ones(3, 2), torch.rand(3, 5, 7), torch.rand(3, 2, 4, 4))
    untold = told.untold()
    assert (untold.told == 0).all()
    assert (untold.tokens[..., -1] == 0).all()
    assert (untold.context == 0).all()
    some = told.but(torch.tensor([[1.0, 0.0, 1.0]] * 3))
    assert some.told.tolist() == [[1.0, 0.0]] * 3
    assert (some.tokens[..., -1] == 0).all()  # the text is the last condition
    torch.testing.assert_close(some.context, told.context)


def test_an_image_in_register_is_seen_in_place(name):
    """Told masks that differ in one corner, the images differ there most."""
    size = 48
    task = replace(small_task(name, 1, size, size), context_channels=1)
    method = awake(name, task, **({"channels": [16], "attention": False} if name != "dit" else {}))
    left = -torch.ones(1, 1, size, size)
    right = left.clone()
    right[..., :16, :16] = 1
    here, there = (drawn(method, count=1, context=context) for context in (left, right))
    change = (here - there).abs()[0, 0]
    assert change[:16, :16].mean() > 1.5 * change[24:, 24:].mean()


def test_larger_images_are_drawn_through_windows(name):
    method = awake(name, small_task(name, 1, 16, 24))
    large = drawn(method, size=(32, 48))
    assert large.shape == (2, 1, 32, 48)
    torch.testing.assert_close(drawn(method, first=1, count=1, size=(32, 48))[0], large[1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(drawn(method, size=(16, 24)), drawn(method))


def test_the_denoiser_without_a_trained_network_is_the_best_linear_one(name):
    """A fresh network predicts nothing, which for v means x / (1 + sigma^2)."""
    torch.manual_seed(0)
    method = method_class(name)(method_settings(name, SMALL[name] | {"predicts": "v"}), small_task(name, 1, 16, 24))
    x, sigma = torch.randn(2, *method.inside), torch.tensor([0.5, 3.0])
    said = method.denoise(x, sigma, Given())
    torch.testing.assert_close(said, x / (1 + sigma**2)[:, None, None, None])


# Runs


@pytest.fixture(scope="module")
def masked_run(tmp_path_factory):
    rocks = image_set(phantoms("rock", count=4, size=(40, 40), seed=1))
    folder = tmp_path_factory.mktemp("masked") / "run"
    return train(
        "ddpm", rocks, folder, images_seen=16, size=(16, 24), settings=SMALL["ddpm"], context="masks", cpu=True
    )


def test_an_image_drawn_for_a_mask_carries_that_mask(masked_run):
    rocks = image_set(phantoms("rock", count=3, size=(40, 40), seed=2))
    made = generate(masked_run, count=4, context=rocks, cpu=True)
    for k, picture in enumerate(made):
        truth = rocks[k % 3].mask[12:28, 8:32]
        np.testing.assert_array_equal(picture.mask, truth)
    assert made[0].labels["drawn for"] == made[3].labels["drawn for"]


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (None, "draws images for masks that it is told: give the masks"),
        (random_set(2, (32, 32)), "has no mask"),
        (
            Pictures([replace(random_set(1, (32, 20))[0], mask=np.eye(32, 20) > 0)]),
            "is 32 x 20, smaller than the 16 x 24",
        ),
    ],
)
def test_a_run_that_is_told_masks_says_what_it_lacks(masked_run, context, message):
    with pytest.raises(Problem, match=message):
        generate(masked_run, count=1, context=context, cpu=True)


def test_another_image_of_the_place_can_be_told(tmp_path):
    images = random_set(3, (32, 32))
    others = Pictures(
        replace(p, pixels=(255 - p.pixels) // 2, origin=Origin(p.origin.specimen, f"{k}.png"))
        for k, p in enumerate(images)
    )
    run = train(
        "dit", images, tmp_path / "run", images_seen=8, size=(16, 24), settings=SMALL["dit"], context=others, cpu=True
    )
    assert run.record.context.kind == "images"
    assert len(generate(run, count=2, context=others, cpu=True)) == 2
    with pytest.raises(Problem, match="has 3 channels, and the run was told images of 1"):
        generate(run, count=1, context=random_set(1, (32, 32), channels=3), cpu=True)


@pytest.mark.parametrize(
    ("method", "context", "options", "message"),
    [
        ("dcgan", "masks", {}, "dcgan can be told no mask"),
        ("ddpm", "masks", {}, "has no mask"),
        ("ddpm", random_set(1, (32, 32)), {}, "no other image is called 1"),
        ("ddpm", random_set(2, (32, 30)), {}, "the other image of that name is 32 x 30"),
    ],
)
def test_images_in_register_that_do_not_fit_are_refused_before_training(tmp_path, method, context, options, message):
    with pytest.raises(Problem, match=message):
        train(method, random_set(2, (32, 32)), tmp_path / "run", images_seen=8, size=(16, 24), settings=SMALL[method],
              context=context, cpu=True, **options)  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "run"
    return train("ddpm", random_set(), folder, images_seen=8, size=(16, 24), settings=SMALL["ddpm"], cpu=True)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"solver": "hoin"}, "there is no solver 'hoin': choose one of"),
        ({"guidance": 2.0}, "trained without conditions, and guidance has nothing to follow"),
        ({"guidance_interval": (0.1, 2.0)}, "guidance has nothing to follow"),
        ({"size": (8, 24)}, "8 x 24 are smaller than the 16 x 24 that the network looks through"),
        ({"size": (32, 48), "overlap": 16}, "cannot overlap by 16 pixels: choose 0 to 15"),
        ({"guidance": -1.0}, "a guidance of -1 leads away from the condition"),
        ({"guidance_interval": (5.0, 1.0)}, "no noise level lies between 5 and 1"),
        ({"overlap": 4}, "an overlap of windows is given for images of one window"),
        ({"context": random_set(1)}, "was told no masks or images in training"),
    ],
)
def test_a_wish_that_a_denoising_run_cannot_fulfil_is_one_line(plain_run, wish, message):
    with pytest.raises(Problem, match=message):
        generate(plain_run, count=1, cpu=True, **wish)


@pytest.mark.parametrize("wish", [{"solver": "heun"}, {"guidance": 2.0}, {"size": (64, 64)}, {"steps": 5}])
def test_what_is_no_denoiser_has_none_of_it(tmp_path, wish):
    run = train("vae", random_set(), tmp_path / "run", images_seen=8, size=(16, 24), settings=SMALL["vae"], cpu=True)
    with pytest.raises(Problem, match="vae is no denoiser and has no"):
        generate(run, count=1, cpu=True, **wish)


def test_a_run_that_learnt_its_weighting_goes_on_is_distilled_and_controlled(tmp_path):
    settings, options = SMALL["ddpm"] | {"weighting": "learned"}, {"size": (16, 24), "cpu": True}
    whole = train("ddpm", random_set(), tmp_path / "whole", images_seen=16, settings=settings, **options)
    stopped = KeyboardInterrupt

    def stop(report):
        if report.images_seen == 8:
            raise stopped

    with pytest.raises(stopped):
        train("ddpm", random_set(), tmp_path / "part", images_seen=16, settings=settings, on_report=stop, **options)
    again = train("ddpm", random_set(), tmp_path / "part", images_seen=16, settings=settings, go_on=True, **options)
    weights = [load_file(run.folder / "weights.safetensors") for run in (whole, again)]
    assert weights[0]["uncertainty.weights"].abs().max() > 0
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    student = distil(whole, random_set(), tmp_path / "student", images_seen=8, settings={"batch_size": 4}, cpu=True)
    guided = control(whole, random_set(), tmp_path / "guided", images_seen=8, settings={"batch_size": 4}, cpu=True)
    assert torch.equal(load_file(guided.folder / "weights.safetensors")["run.uncertainty.weights"],
                       weights[0]["uncertainty.weights"])  # fmt: skip
    assert generate(student, count=1, cpu=True)[0].size == (16, 24)


def test_larger_images_come_out_with_their_size(plain_run):
    (picture,) = generate(plain_run, count=1, size=(32, 48), overlap=8, cpu=True)
    assert picture.size == (32, 48)


def test_the_wrong_settings_are_refused():
    with pytest.raises(Problem, match="lowest_noise below highest_noise"):
        method_settings("ddpm", {"lowest_noise": 90.0})
    with pytest.raises(Problem, match="levels=flow beside a shift: levels=lognormal have none"):
        method_settings("ddpm", {"shift": 3.0})
    with pytest.raises(Problem, match="a solver among"):
        method_settings("ddpm", {"solver": "best"})
    with pytest.raises(Problem, match="guidance_from below guidance_to"):
        method_settings("ddpm", {"guidance_from": 3.0, "guidance_to": 2.0})
    with pytest.raises(Problem, match="guidance needs a network that was at times told nothing"):
        method_settings("ddpm", {"guidance": 3.0, "condition_dropout": 0.0})


def test_guidance_without_conditions_is_refused_before_training(tmp_path):
    with pytest.raises(Problem, match="guidance has nothing to follow without conditions"):
        train("ddpm", random_set(), tmp_path / "run", images_seen=8, size=(16, 24),
              settings=SMALL["ddpm"] | {"guidance": 3.0}, cpu=True)  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_an_interval_of_guidance_needs_a_guidance(conditioned):
    conditioned.deviation.fill_(2.0)  # as of a latent that was seen
    request = SampleRequest(guidance_interval=(0.2, 5.0))
    with pytest.raises(Problem, match="an interval of guidance is given, and no guidance"):
        require_able("it", conditioned, request)
    require_able("it", conditioned, replace(request, guidance=2.0))


def test_windows_share_at_least_what_is_asked(tmp_path):
    """A latent has a place for each four pixels: half a place more is a whole one."""
    method = awake("latent_diffusion", small_task("latent_diffusion", 1, 16, 24))
    assert method.pixels_inside == 4
    assert method.denoiser(SampleRequest(size=(32, 48), overlap=5)).overlap == 2
    assert method.denoiser(SampleRequest(size=(32, 48), overlap=8)).overlap == 2


def test_each_channel_is_brought_to_variance_1(name):
    """A mask's channel would else leave the image too little of it."""
    method = method_class(name)(method_settings(name, SMALL[name]), small_task(name, 2, 16, 24))
    images = torch.cat([0.1 * torch.randn(64, 1, 16, 24) - 0.5, 0.9 * torch.randn(64, 1, 16, 24)], dim=1)
    if name == "latent_diffusion":
        pytest.skip("its channels are those of the latent, see test_latent_diffusion")
    method.prepare(images)
    seen = method.encode(images, Randomness.of_images(0, 0, 64))
    torch.testing.assert_close(seen.std((0, 2, 3)), torch.ones(2))
    torch.testing.assert_close(method.decode(seen), images)


def test_the_area_fraction_of_a_mask_that_is_told_is_its_own(tmp_path):
    rocks = image_set(phantoms("rock", count=4, size=(40, 40), seed=1))
    run = train("ddpm", rocks, tmp_path / "run", images_seen=8, size=(16, 24), settings=SMALL["ddpm"], context="masks",
                conditions=["porosity"], fraction="porosity", cpu=True)  # fmt: skip
    made = generate(run, count=2, context=rocks, cpu=True)
    for picture in made:
        assert picture.labels["asked porosity"] == pytest.approx(picture.mask.mean())
    with pytest.raises(Problem, match="porosity is asked, and masks are told that have their own"):
        generate(run, count=1, context=rocks, asked={"porosity": 0.3}, cpu=True)


def test_images_of_another_pixel_type_are_no_context(tmp_path):
    images = random_set(2, (32, 32))
    run = train("ddpm", images, tmp_path / "run", images_seen=8, size=(16, 24), settings=SMALL["ddpm"], context=images,
                cpu=True)  # fmt: skip
    with pytest.raises(Problem, match="has pixels of uint16, and the run was told images of uint8"):
        generate(run, count=1, context=random_set(1, (32, 32), dtype="uint16"), cpu=True)
