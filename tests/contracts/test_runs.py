"""The run folder: whole or not at all, exact resumption, refusals that leave nothing behind."""

import json
import resource

import numpy as np
import pytest
import torch

from morphogen.generation.generate import generate
from morphogen.images.folders import read_images
from morphogen.methods.method import method_names
from morphogen.problems import Problem
from morphogen.training.run import Run
from morphogen.training.train import DivergedError, train
from small_sets import NUMBERS, SMALL, draw, needs, random_set

METHODS = method_names()
SIZE = (16, 24)


def start(folder, method="vae", images=None, **options):
    options = (
        {"images_seen": 24, "size": SIZE, "settings": SMALL[method], "seed": 3, "cpu": True} | needs(method) | options
    )
    return train(method, images or random_set(), folder, **options)


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path, method):
    """The stopped run is interrupted as a person would: by an exception between two steps, after a checkpoint."""
    options = {"size": SIZE, "settings": SMALL[method], "seed": 3, "cpu": True, "images_seen": 40} | needs(method)
    whole = train(method, random_set(), tmp_path / "whole", **options)

    def stop_after_four(report):
        if report.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(method, random_set(), tmp_path / "parts", on_report=stop_after_four, save_every_seconds=1e-9, **options)
    kept = Run(tmp_path / "parts")
    assert kept.counters["step"] == 4
    parts = train(method, random_set(), tmp_path / "parts", go_on=True, **options)
    assert parts.counters["step"] == whole.counters["step"] == 10
    for file in ("weights", "state"):
        one, two = (_tensors(run.folder / f"{file}.safetensors") for run in (whole, parts))
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert torch.equal(value, two[key]), key
    seen = [line["images_seen"] for line in parts.progress()]
    assert seen == sorted(set(seen))


def _tensors(path):
    from safetensors.torch import load_file

    return load_file(path)


@pytest.mark.parametrize("method", METHODS)
def test_saved_opened_and_sampled_again_at_any_batch_size(tmp_path, method):
    run = start(tmp_path / "run", method)
    once = draw(run, count=5, seed=9, batch_size=5)
    again = draw(Run(tmp_path / "run"), count=5, seed=9, batch_size=2)
    for a, b in zip(once, again, strict=True):
        # The last digit of a float may depend on the batch size, and turn over the rounding of a grey level.
        assert np.abs(a.pixels.astype(int) - b.pixels.astype(int)).max() <= 1
    other = draw(run, count=5, seed=10)
    assert any((a.pixels != b.pixels).any() for a, b in zip(once, other, strict=True))


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_comes_out_has_the_type_scale_and_pixel_size_of_what_went_in(tmp_path, dtype, channels):
    images = random_set(dtype=dtype, channels=channels)
    run = start(tmp_path / "run", images=images)
    generate(run, count=2, folder=tmp_path / "out", cpu=True)
    (tmp_path / "out" / "images" / "manifest.json").unlink()  # the files alone must say it
    read = read_images(tmp_path / "out")
    assert read[0].pixels.dtype == dtype
    assert read[0].pixels.shape == (channels, *SIZE)
    np.testing.assert_allclose(read[0].spacing_um, (2.5, 2.5), rtol=1e-5)
    low = min(p.pixels.min() for p in images)
    high = max(p.pixels.max() for p in images)
    assert all(low <= p.pixels.min() and p.pixels.max() <= high for p in read)


def test_a_checkpoint_that_cannot_be_finished_leaves_the_last_one(tmp_path):
    """No file may grow beyond 20 kB: what the system says is what it says of a full disk or quota."""
    run = start(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in run.folder.glob("*.safetensors")}
    assert len(before["state.safetensors"]) > 20_000
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(Problem, match="the disk is full"):
            start(tmp_path / "run", images_seen=48, go_on=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    after = {path.name: path.read_bytes() for path in run.folder.glob("*.safetensors")}
    assert after == before
    assert not list(run.folder.glob(".*"))


def test_a_loss_that_is_not_finite_stops_and_keeps_finite_weights(tmp_path, monkeypatch):
    from morphogen.methods import vae

    honest = vae.Method.loss
    calls = []

    def breaks_at_the_fourth(self, phase, batch, randomness):
        calls.append(phase)
        loss = honest(self, phase, batch, randomness)
        return vae.Loss(loss.total * float("nan"), loss.parts) if len(calls) == 4 else loss

    monkeypatch.setattr(vae.Method, "loss", breaks_at_the_fourth)
    with pytest.raises(DivergedError, match=r"vae: .*'bound' is no longer finite at step 4.*smaller learning rate"):
        start(tmp_path / "run")
    run = Run(tmp_path / "run")
    assert run.counters["step"] == 3
    assert all(torch.isfinite(value).all() for value in run.trained_method().state_dict().values())
    generate(run, count=1, cpu=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (17, 24)}, "vae cannot take images of 17 x 24"),
        ({"size": (64, 64)}, r"0.tif is 40 x 48, smaller than the crop 64 x 64"),
        ({"settings": {"chanels": [8]}}, r"'chanels' is not a known key: did you mean 'channels'\?"),
        ({"images_seen": 0}, "images"),
        ({"compiled": True}, "compiling"),
    ],
)
def test_a_refused_run_leaves_no_folder(tmp_path, change, message):
    with pytest.raises(Problem, match=message):
        start(tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_bf16_is_for_a_cpu_that_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})
    with pytest.raises(Problem, match="this CPU has no instructions for bf16"):
        start(tmp_path / "run", precision="bf16")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    run = start(tmp_path / "run", precision="bf16")
    assert run.record.plan.precision == "bf16"
    assert all(value.dtype == torch.float32 for value in run.trained_method().parameters())


def test_too_little_disk_is_said_before_training(tmp_path, monkeypatch):
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10**9, 10**9, 1000))
    with pytest.raises(Problem, match=r"a run of vae needs .* MB .*: free some space"):
        start(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_not_overwritten(tmp_path):
    start(tmp_path / "run")
    with pytest.raises(Problem, match="exists and is not empty: choose a new folder"):
        start(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "dcgan", "settings": SMALL["dcgan"]}, "is a run of vae, not of dcgan"),
        ({"seed": 4}, "was started with seed 3, not 4"),
        ({"images": random_set(seed=1)}, "was trained on other images"),
        (
            {"settings": SMALL["vae"] | {"learning_rate": 1e-5}},
            "was started with setting learning_rate = 0.001, not 1e-05",
        ),
        ({"size": (24, 16)}, r"was started with crops of \(16, 24\), not \(24, 16\)"),
        ({"symmetries": frozenset({"flip_vertical"})}, "was started with symmetries"),
    ],
)
def test_going_on_with_something_else_is_refused(tmp_path, change, message):
    start(tmp_path / "run")
    with pytest.raises(Problem, match=message):
        start(tmp_path / "run", go_on=True, **change)


def test_run_folders_that_cannot_be_read_say_why(tmp_path):
    with pytest.raises(Problem, match="there is no folder"):
        Run(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Problem, match="is not a run folder"):
        Run(tmp_path / "empty")
    run = start(tmp_path / "run")
    record = json.loads((run.folder / "run.json").read_text())
    record["format"] = 99
    record["lineage"]["morphogen"] = "7.1"
    (run.folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(Problem, match=r"written by Morphogen 7\.1 in run format 99, and this one reads format 1"):
        Run(run.folder)
    (run.folder / "run.json").write_text('{"format": 1, "method"')
    with pytest.raises(Problem, match="is damaged"):
        Run(run.folder)


def test_a_line_cut_off_by_a_kill_does_not_stop_a_resumption(tmp_path):
    run = start(tmp_path / "run")
    with open(run.folder / "progress.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 7, "images_se')
    start(tmp_path / "run", images_seen=48, go_on=True)
    assert Run(tmp_path / "run").progress()[-1]["images_seen"] == 48


def test_a_float_run_is_not_promised_as_png(tmp_path):
    run = start(tmp_path / "run", images=random_set(dtype="float32"))
    with pytest.raises(Problem, match=r"\.png files cannot hold float32 pixels: choose \.tif"):
        generate(run, count=1, folder=tmp_path / "out", extension=".png", cpu=True)
    assert not (tmp_path / "out").exists()


def test_opening_a_run_does_not_touch_the_random_state_of_its_user(tmp_path):
    run = start(tmp_path / "run")
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    generate(run, count=1, cpu=True)
    assert torch.equal(torch.rand(1), expected)


def test_damaged_weights_are_not_sampled(tmp_path):
    run = start(tmp_path / "run")
    weights = run.folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(Problem, match="is damaged: restore it, or train again"):
        generate(run, count=1)
