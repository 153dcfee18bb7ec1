"""The commands around pipelines and services, as a person types them."""

import numpy as np
import pytest

from morphogen.cli import cli
from morphogen.images.folders import read_images, write_images
from morphogen.problems import Problem
from small_service import Service
from small_sets import random_set

QUICK = ["--count", "1", "--steps", "1", "--guidance", "1", "--cpu"]


def run(*words):
    cli.main([str(word) for word in words], standalone_mode=False)


def test_teach_a_pipeline_and_draw_with_it(pipelines, tmp_path, capsys):
    write_images(random_set(2, (24, 24), dtype="uint16"), tmp_path / "scans")
    taught = tmp_path / "taught"
    run("lora", pipelines["text"], tmp_path / "scans", "--caption", "grains", "--images-seen", "8", "--rank", "2",
        "--crop", "16", "16", "--out", taught, "--cpu")  # fmt: skip
    assert "on 8 images" in capsys.readouterr().out
    run("generate", pipelines["text"], "--caption", "grains", "--lora", taught, "--out", tmp_path / "made", *QUICK)
    made = read_images(tmp_path / "made")
    assert made[0].pixels.dtype == np.uint16
    assert made[0].channels == 1
    assert made[0].labels["caption"] == "grains"
    run("generate", pipelines["text"], "--ask", "caption=grains", "--grey", "--size", "16", "24", "--out",
        tmp_path / "grey", *QUICK)  # fmt: skip
    assert read_images(tmp_path / "grey")[0].pixels.shape == (1, 16, 24)


def test_what_is_no_wish_to_a_pipeline(pipelines, tmp_path):
    out = ["--out", tmp_path / "made"]
    for words, message in (
        ([], "say it with --caption"),
        (["--caption", "grains", "--truncation", "1"], "--truncation says nothing to it"),
        (["--caption", "grains", "--ask", "porosity=0.2"], "what is asked beside a caption"),
        (["--caption", "a" * 10_000], "10,000 characters"),
        (["--caption", "grains", "--lora", tmp_path / "none"], "no LoRA"),
    ):
        with pytest.raises(Problem, match=message):
            run("generate", pipelines["text"], *out, *words)
        assert not (tmp_path / "made").exists()


def test_order_from_a_service(tmp_path, monkeypatch, capsys):
    service = Service()
    monkeypatch.setenv("KEY_OF_THE_TEST", "sk-1")
    words = ["order", "--caption", "a rock", "--model", "painter-1", "--address", f"http://127.0.0.1:{service.port}/v1",
             "--key-variable", "KEY_OF_THE_TEST", "--size", "16x16", "--answers", tmp_path / "answers",
             "--out", tmp_path / "made"]  # fmt: skip
    try:
        with pytest.raises(Problem, match="agree beforehand"):
            run(*words)
        with pytest.raises(Problem, match="'size' is '16'"):
            run(*words, "--size", "16")
        run(*words, "--yes", "--grey", "--price", "0.1")
    finally:
        service.close()
    assert "for 0.1 at 0.1 each" in " ".join(capsys.readouterr().err.split())
    assert read_images(tmp_path / "made")[0].pixels.shape == (1, 16, 16)
