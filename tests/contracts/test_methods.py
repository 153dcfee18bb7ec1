"""What every method promises; a new file in methods/ is tested without a line here (but see small_sets.SMALL)."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from torch.nn.utils.parametrizations import spectral_norm

from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import (
    ImageShape,
    Loss,
    MethodSettings,
    Phase,
    Trainable,
    method_class,
    method_names,
    method_settings,
)
from morphogen.problems import Problem
from morphogen.training.fit import Plan, fit, learning_rate, new_state, parameters_of
from morphogen.training.weight_averaging import AveragedWeights
from small_sets import SMALL, batches, drawn, small_task

METHODS = method_names()


@pytest.fixture(params=METHODS)
def name(request) -> str:
    return request.param


def build(name: str, channels: int = 1, height: int = 16, width: int = 24, conditioned: bool = False, **changes):
    torch.manual_seed(0)
    settings = method_settings(name, SMALL[name] | changes)
    return method_class(name)(settings, small_task(name, channels, height, width, conditioned=conditioned))


def trained(name: str, images: int = 24, **changes):
    method = build(name, **changes)
    state = new_state(method)
    reports = list(fit(method, batches(name), Plan(images=images), state, Accelerator(cpu=True)))
    return method, state, reports


def test_every_parameter_belongs_to_a_phase(name):
    method = build(name)
    owned = {id(p) for phase in method.phases for p in parameters_of(method, phase)}
    strays = [key for key, p in method.named_parameters() if id(p) not in owned]
    assert strays == []


def test_a_phase_moves_what_it_owns_and_nothing_else(name):
    for phase in build(name).phases:
        method = build(name)
        before = {key: value.detach().clone() for key, value in method.named_parameters()}
        method.phases = (replace(phase, during=(0.0, 1.0)),)
        state = new_state(method)
        next(fit(method, batches(name), Plan(images=400), state, Accelerator(cpu=True)))
        moved = {
            key.partition(".")[0] for key, value in method.named_parameters() if not torch.equal(value, before[key])
        }
        assert moved == set(phase.trains)


def test_phases_that_share_an_optimiser_agree_on_it(name):
    method = build(name)
    for phase in method.phases:
        for other in method.phases:
            if phase.trains == other.trains:
                assert (phase.learning_rate, phase.betas) == (other.learning_rate, other.betas)


def test_the_loss_of_a_batch_is_the_mean_of_its_halves(name):
    """Without this, two processes would not train what one does."""
    method = build(name)
    source = batches(name)
    for index, phase in enumerate(method.phases):
        whole = method.loss(phase.name, source(0, 4), Randomness.of_images(0, 0, 4, purpose=index)).total
        halves = [
            method.loss(phase.name, source(i, 2), Randomness.of_images(0, i, 2, purpose=index)).total for i in (0, 2)
        ]
        torch.testing.assert_close(whole, (halves[0] + halves[1]) / 2, rtol=1e-4, atol=1e-5)


def test_a_picture_does_not_depend_on_its_batch(name):
    method = build(name).eval()
    with torch.no_grad():
        together = drawn(method, 0, 5)
        apart = torch.cat([drawn(method, k, 1) for k in range(5)])
    torch.testing.assert_close(together, apart, rtol=1e-3, atol=1e-4)
    assert (together[0] - together[1]).abs().max() > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_rectangles(name, channels):
    method = build(name, channels=channels)
    loss = method.loss(method.phases[0].name, batches(name, channels)(0, 2), Randomness.of_images(0, 0, 2))
    assert torch.isfinite(loss.total)
    with torch.no_grad():
        images = drawn(method, 0, 2)
    assert images.shape == (2, channels, 16, 24)
    assert torch.isfinite(images).all()


def test_a_size_that_does_not_fit_is_refused_with_those_that_do(name):
    sizes = method_class(name).sizes(method_settings(name, SMALL[name]))
    wrong = 17 if sizes.multiple_of > 1 else sizes.at_least - 1
    with pytest.raises(Problem, match=f"{name} cannot take images of {wrong} x 64: .*multiples of"):
        sizes.check(name, ImageShape(1, wrong, 64))
    least = -(-sizes.at_least // sizes.multiple_of) * sizes.multiple_of
    build(name, height=least, width=least + sizes.multiple_of)


def test_a_phase_lowers_its_loss_while_all_else_stands_still(name):
    """One batch with the same noise at every step, the other networks as they are, nothing observed: what the phase
    minimises is a fixed function, so that it falls whatever the numbers. In a training that alternates, it need not."""
    for phase in build(name).phases:
        method, batch, totals = build(name), batches(name)(0, 4), []
        method.phases = (replace(phase, every=1, learning_rate=max(2e-3, phase.learning_rate)),)

        def still(wanted, *_, taken=method.loss, batch=batch, totals=totals):
            found = taken(wanted, batch, Randomness.of_images(1, 0, 4))
            totals.append(float(found.total.detach()))
            return found

        method.loss, method.observe = still, lambda *_: None
        list(fit(method, lambda *_, b=batch: b, Plan(images=240), new_state(method), Accelerator(cpu=True)))
        assert totals[-1] < 0.9 * totals[0], phase.name


def test_training_lowers_a_loss_that_nothing_works_against(name):
    """On other crops than those of training."""
    before = build(name)
    if len(before.phases) > 1:
        pytest.skip("adversaries lower and raise each other's losses")
    after, _, _ = trained(name, images=600)

    def loss(method):
        batch = batches(name)(10_000, 64)
        return float(method.loss(method.phases[0].name, batch, Randomness.of_images(1, 0, 64)).total.detach())

    assert loss(after) < 0.99 * loss(before)


def test_the_same_seed_trains_the_same_weights_and_another_seed_others(name):
    first, _, _ = trained(name)
    second, _, _ = trained(name)
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    other = build(name)
    list(fit(other, batches(name), Plan(images=24, seed=1), new_state(other), Accelerator(cpu=True)))
    assert any(not torch.equal(v, first.state_dict()[k]) for k, v in other.state_dict().items())


def test_averages_follow_the_weights_at_a_distance(name):
    method, state, _ = trained(name, images=80)
    now = method.state_dict()
    assert {key.partition(".")[0] for key in state.averaged.values} == set(method.averaged)
    apart = [
        float((average - now[key]).abs().max())
        for key, average in state.averaged.values.items()
        if average.is_floating_point()
    ]
    assert 0 < max(apart) < 0.5


def test_buffers_are_copied_and_not_averaged(name):
    method, state, _ = trained(name, images=80)
    now, parameters = method.state_dict(), {key for key, _ in method.named_parameters()}
    assert parameters & state.averaged.values.keys()
    for key in state.averaged.values.keys() - parameters:
        assert torch.equal(state.averaged.values[key], now[key]), key


def test_a_running_mean_is_not_averaged_again_and_a_spectral_norm_keeps_its_unit_vectors():
    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = spectral_norm(torch.nn.Linear(3, 5))
            self.network.register_buffer("mean", torch.zeros(3))
            self.network.register_buffer("count", torch.zeros((), dtype=torch.int64))

    torch.manual_seed(0)
    small = Small()
    averaged = AveragedWeights(small, ("network",), half_life=100)
    start = averaged.values["network.bias"].clone()
    for step in range(1, 4):
        with torch.no_grad():
            small.network.bias.add_(1.0)
            small.network.mean.fill_(step)
            small.network.count.add_(1)
            small.network.parametrizations.weight.original.normal_()
        small.network(torch.zeros(1, 3))  # moves the power iteration
        averaged.update(small, images_seen=10_000, batch_size=100)  # the past loses half of its weight
    # By hand: an eighth of 0, an eighth of 1, a quarter of 2 and half of 3.
    torch.testing.assert_close(averaged.values["network.bias"], start + 1 / 8 + 2 / 4 + 3 / 2)
    now = small.state_dict()
    for key in ("mean", "count", "parametrizations.weight.0._u", "parametrizations.weight.0._v"):
        assert torch.equal(averaged.values[f"network.{key}"], now[f"network.{key}"]), key
    assert float(averaged.values["network.parametrizations.weight.0._u"].norm()) == pytest.approx(1)
    assert not torch.equal(
        averaged.values["network.parametrizations.weight.original"], now["network.parametrizations.weight.original"]
    )


def test_settings_refuse_what_they_do_not_know(name):
    with pytest.raises(Problem, match=r"'batch_sice' is not a known key: did you mean 'batch_size'\?"):
        method_settings(name, {"batch_sice": 4})
    with pytest.raises(Problem, match="'batch_size' is 0: it should be"):
        method_settings(name, {"batch_size": 0})


def test_an_unknown_method_is_named_with_the_known_ones():
    with pytest.raises(Problem, match=f"there is no method 'vea': choose one of .*{METHODS[-1]}"):
        method_class("vea")


def test_the_learning_rate_rises_and_falls_as_it_says(name):
    """Over the part of the budget that a phase has."""
    for phase in build(name).phases:
        begins, ends = phase.during
        if phase.falls:
            assert learning_rate(phase, ends, 10**9) < 1e-12
            assert learning_rate(phase, (begins + ends) / 2, 10**9) == pytest.approx(phase.learning_rate / 2)
        if phase.warm_up_images:
            assert learning_rate(phase, begins, 0) < phase.learning_rate / 10
        assert learning_rate(phase, begins, 10**9) == pytest.approx(phase.learning_rate)


def test_the_loop_can_be_left_between_two_steps():
    method = build("vae")
    state = new_state(method)
    reports: Iterator = fit(method, batches("vae"), Plan(images=400), state, Accelerator(cpu=True))
    first = next(reports)
    assert (first.step, first.images_seen, state.step, state.images_seen) == (1, 4, 1, 4)
    assert all(p.grad is None for p in method.parameters())


def test_space_to_depth_is_the_default_where_there_is_no_gpu():
    from morphogen.methods.ddpm import Method, Settings

    assert Method.suited(Settings(), on_gpu=False).patch == 4
    assert Method.suited(Settings(), on_gpu=True).patch == 1
    assert Method.suited(Settings(patch=2), on_gpu=False).patch == 2


def test_every_loss_can_be_taken_in_bf16_and_what_is_kept_is_not(name):
    """As on a GPU, where bf16 is the default: what ``observe`` remembers stays in single precision."""
    method = build(name, channels=1, height=32, width=32)
    state = new_state(method)
    reports = []

    class Rounding(Accelerator):
        def autocast(self, *_):
            return torch.autocast("cpu", torch.bfloat16)

    for report in fit(method, batches(name, size=(32, 32)), Plan(images=16), state, Rounding(cpu=True)):
        reports.append(report)
    assert len(reports) == 4
    assert all(value.dtype != torch.bfloat16 for value in method.state_dict().values())


def test_gradients_keep_their_ratio_where_a_phase_does_not_clip():
    """Adam's second moment shows the gradient that it was given: 1000 as it is, or shortened to the plan's limit."""

    class Sum(Trainable):
        def __init__(self, clips: bool) -> None:
            super().__init__(MethodSettings(batch_size=4))
            self.weight = torch.nn.Linear(1, 1, bias=False)
            self.phases = (Phase("sum", trains=("weight",), betas=(0.0, 0.99), clips=clips),)

        def loss(self, phase, batch, randomness):
            return Loss(1000 * self.weight.weight.sum(), {})

    for clips, gradient in ((True, 1.0), (False, 1000.0)):
        trainable = Sum(clips)
        state = new_state(trainable)
        list(fit(trainable, batches("vae"), Plan(images=4), state, Accelerator(cpu=True)))
        (moments,) = state.optimisers[("weight",)].state.values()
        assert float(moments["exp_avg_sq"]) == pytest.approx(0.01 * gradient**2, rel=1e-4)
