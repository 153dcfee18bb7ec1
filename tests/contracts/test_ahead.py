"""The next batch is prepared while a step runs: the same batches, and the same errors, without a thread left behind."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

from morphogen.images import folders
from morphogen.images.folders import read_images
from morphogen.images.intensity import IntensityMap
from morphogen.problems import Problem
from morphogen.training.ahead import Ahead
from morphogen.training.run import Run
from morphogen.training.train import train
from small_sets import SMALL, random_set


def test_a_step_is_told_how_long_it_waited_and_the_next_batch_is_ready(tmp_path):
    began, free = [], threading.Event()

    def batches(first, count):
        began.append(first)
        if first == 8:
            free.set()
        return first, count

    with Ahead(batches, 8) as ahead:
        assert ahead(0, 4) == (0, 4)
        assert free.wait(10)  # prepared before it is asked for
        assert ahead(8, 4) == (8, 4)
        assert ahead(40, 4, last=True) == (40, 4)  # not what was prepared
        assert ahead.waited >= 0
    assert began[:2] == [0, 8]
    assert began[-1] == 40
    run = train("vae", random_set(), tmp_path / "run", images_seen=24, size=(16, 24), settings=SMALL["vae"], cpu=True)
    assert all(0 <= line["waiting"] <= 1 for line in run.progress())


def test_what_goes_wrong_while_reading_ahead_is_the_problem_that_a_user_sees(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "volume.tif"
    tifffile.imwrite(path, np.arange(24 * 40 * 50, dtype=np.uint16).reshape(24, 40, 50), photometric="minisblack")
    images = read_images(path)
    IntensityMap.of(images)
    seen = SimpleNamespace(reports=0)

    def cut_short(report):
        seen.reports += 1
        if seen.reports == 2:
            with open(path, "r+b") as file:
                file.truncate(3000)

    with pytest.raises(Problem, match=r"volume\.tif ends before its pixels do; it is truncated"):
        train("vae", images, tmp_path / "run", images_seen=4000, size=(16, 24), settings=SMALL["vae"], cpu=True,
              on_report=cut_short)  # fmt: skip
    assert not [t for t in threading.enumerate() if t.name.startswith("next batch")]


def test_stopping_between_steps_leaves_no_thread_and_a_run_to_go_on_with(tmp_path):
    def stop(report):
        if report.step == 3:
            raise KeyboardInterrupt

    options = {"size": (16, 24), "settings": SMALL["vae"], "cpu": True, "seed": 1}
    with pytest.raises(KeyboardInterrupt):
        train("vae", random_set(), tmp_path / "run", images_seen=40, on_report=stop, **options)
    assert not [t for t in threading.enumerate() if t.name.startswith("next batch")]
    assert Run(tmp_path / "run").record.plan.seed == 1
