"""The command line as a person meets it: help at once, the whole way through, and one line where it is wrong."""

import ast
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
import yaml

from morphogen import problems
from morphogen.cli import cli
from morphogen.generation.generate import generate
from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture
from morphogen.problems import Problem
from morphogen.training.run import Run
from morphogen.training.train import train
from morphogen.whole_files import require_writable_file, write_text_whole
from small_sets import SMALL, random_set

COMMANDS = [
    "fetch", "phantom", "triples", "describe", "segment", "split", "train", "distil", "control", "generate",
    "interpolate", "mix", "project", "likelihood", "reconstruct", "attend", "edit", "evaluate", "asked", "study",
    "audit", "caption", "classify", "retrieve", "lora", "export", "order", "methods", "editors", "review", "studio",
    "tiff",
]  # fmt: skip
VAE = [f"--set={name}={value}" for name, value in SMALL["vae"].items()]
STYLEGAN = [f"--set={name}={json.dumps(value)}" for name, value in SMALL["stylegan2"].items()]


def morphogen(*words: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "morphogen", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("command", COMMANDS)
def test_help_imports_nothing_heavy(tmp_path, command):
    code = (
        "import sys; sys.argv = ['morphogen', *sys.argv[1:]]\n"
        "from morphogen.cli import cli\n"
        "try: cli.main(standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [m for m in ('torch', 'numpy', 'scipy', 'diffusers', 'rich.progress') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, "--help"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "Usage:" in done.stdout
    assert "HEAVY []" in done.stdout


def test_the_whole_way_from_phantoms_to_evidence(tmp_path):
    morphogen(
        "phantom", "rock", "--out", "rock", "--count", "6", "--size", "96", "128", "--bits", "16", "-p",
        "porosity=0.3", cwd=tmp_path,
    )  # fmt: skip
    images = read_images(tmp_path / "rock")
    assert images[0].pixels.dtype == np.uint16
    masks = read_images(tmp_path / "rock" / "masks")
    assert np.mean([p.pixels == 255 for p in masks]) == pytest.approx(0.3, abs=0.02)
    card = morphogen("describe", "rock", "--crop", "32", "32", "--sheet", "sheet.png", cwd=tmp_path).stdout
    assert "6 of 96 x 128" in card
    assert "5 um" in card
    assert "room for 72 independent fields" in card
    assert (tmp_path / "sheet.png").exists()
    morphogen("split", "rock", "--out", "parts", "--crop", "32", "48", cwd=tmp_path)
    assert not set(read_images(tmp_path / "parts/training").specimens) & set(
        read_images(tmp_path / "parts/held_out").specimens
    )
    trained = morphogen(
        "train", "vae", "parts/training", "--out", "run", "--images-seen", "40", "--crop", "32", "48", *VAE,
        "--specimen", "rock", cwd=tmp_path,
    )  # fmt: skip
    assert "Trained vae on 40 images" in trained.stdout
    morphogen("generate", "run", "--out", "made", "--count", "9", "--seed", "5", cwd=tmp_path)
    made = read_images(tmp_path / "made")
    assert (len(made), made[0].size, made[0].pixels.dtype) == (9, (32, 48), np.uint16)
    assert made[0].spacing_um == (5, 5)
    table = morphogen(
        "evaluate", "--measured", "parts/held_out", "--floor", "parts/training", "--generated", "made", "--features",
        "descriptors", "--json", "found.json", cwd=tmp_path,
    ).stdout  # fmt: skip
    assert "porosity" in table
    warned = morphogen(
        "evaluate", "--measured", "parts/training", "--generated", "made", "--features", "descriptors", cwd=tmp_path
    ).stdout
    assert "was trained on the measured images themselves" in " ".join(warned.split())
    found = json.loads((tmp_path / "found.json").read_text())
    assert {score["role"] for score in found["scores"]} == {"generated", "floor", "identity", "noise"}
    evidence = morphogen(
        "evaluate", "--measured", "parts/held_out", "--training", "parts/training", "--generated", "made",
        "--features", "descriptors", "--segmentation", "masks", "--out", "evidence", cwd=tmp_path, code=2,
    )  # fmt: skip
    assert "has no mask" in evidence.stderr  # the VAE was trained without masks
    page = morphogen(
        "evaluate", "--measured", "parts/held_out", "--training", "parts/training", "--generated", "made",
        "--features", "descriptors", "--out", "evidence", "--micrometres", cwd=tmp_path,
    ).stdout.splitlines()[-1]  # fmt: skip
    assert page == str(Path("evidence/index.html"))
    assert "difference of means, in margins" in (tmp_path / page).read_text()
    assert {path.name for path in (tmp_path / "evidence").iterdir()} == {"index.html", "study.json", "figures"}
    again = morphogen("generate", "run", "--out", "made", cwd=tmp_path, code=2)
    assert "made exists and is not empty: choose a new folder" in again.stderr


def test_usefulness_is_measured_where_all_have_masks(tmp_path):
    for name, count, seed in (("training", "8", "1"), ("held_out", "8", "2"), ("made", "8", "3")):
        morphogen(
            "phantom", "rock", "--out", name, "--count", count, "--seed", seed, "--size", "64", "64", "-p",
            "grain_radius_um=20", cwd=tmp_path,
        )  # fmt: skip
    asked = ("evaluate", "--measured", "held_out", "--training", "training", "--features", "descriptors")
    table = morphogen(*asked, "--generated", "made", "--usefulness", "16", "--out", "page", cwd=tmp_path)
    assert "measured + made" in " ".join(table.stdout.split())
    assert "What the images are worth" in (tmp_path / "page/index.html").read_text(encoding="utf-8")
    shutil.rmtree(tmp_path / "made" / "masks")
    bare = morphogen(*asked, "--generated", "made", "--usefulness", "16", cwd=tmp_path, code=2)
    assert "has no mask" in bare.stderr


def test_an_audit_ends_with_the_path_of_its_page(tmp_path):
    done = morphogen(
        "audit", "rock", "--out", "audit", "--images-a-set", "8", "--crop", "48", "48", "--defect", "noise",
        "--defect", "grey_shift", cwd=tmp_path,
    )  # fmt: skip
    page = tmp_path / done.stdout.strip()
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "audit-brief.png", "audit.json", "audit.png", "index.html",
    ]  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert "Which metrics see what is wrong with a rock?" in text
    assert text.count("data:image/png") == (1 + 3) + (1 + 2)  # a clean field and every severity, of both
    again = morphogen("audit", "rock", "--out", "audit", cwd=tmp_path, code=2)
    assert "choose a new folder" in again.stderr


def test_a_study_ends_with_the_path_of_its_page_and_can_be_repeated(tmp_path):
    recipe = {
        "title": "Small",
        "budget": {"images": 24},
        "methods": {"vae": SMALL["vae"], "dcgan": SMALL["dcgan"]},
        "specimens": {
            "rock": {"kind": "rock", "phantom": {"kind": "rock", "count": 4, "size": [96, 96]}, "crop": [32, 32]}
        },
        "evaluation": {"fields": 8, "features": ["descriptors"], "resamples": 50},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe))
    for number in ("", "-2"):
        page = Path(morphogen("study", "small.yaml", cwd=tmp_path).stdout.strip().splitlines()[-1])
        assert page == Path(f"studies/small{number}/index.html")
        assert "<html" in (tmp_path / page).read_text()
    first, second = (
        json.loads((tmp_path / f"studies/small{n}/study.json").read_text())["specimens"][0] for n in ("", "-2")
    )
    assert first["comparison"] == second["comparison"]
    # The page's generated images are on disk, and a finished study is repeated from them at once.
    assert len(read_images(tmp_path / "studies/small/generated/rock-vae")) == 8
    morphogen("study", "small.yaml", "--continue", "--out", "studies/small", cwd=tmp_path)


def test_ctrl_c_saves_and_the_run_goes_on(tmp_path):
    write_images(random_set(), tmp_path / "set")
    train = ["train", "vae", "set", "--out", "run", "--crop", "16", "24", *VAE, "--cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "morphogen", *train, "--seconds", "600"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    journal = tmp_path / "run" / "progress.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.exists() and journal.read_text()):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "Stopped and saved; go on with --continue --out run" in said
    assert "Traceback" not in said
    stopped = Run(tmp_path / "run").counters
    assert not stopped["finished"]
    further = int(stopped["images_seen"]) + 40
    morphogen(*train, "--images-seen", str(further), "--continue", cwd=tmp_path)
    assert Run(tmp_path / "run").counters["images_seen"] == further


def _nothing(folder: Path) -> None: ...


def _set(folder: Path) -> None:
    write_images(random_set(), folder / "set")


def _without_pixel_size(folder: Path) -> None:
    write_images(random_set(spacing_um=math.nan), folder / "set")
    write_images(random_set(spacing_um=math.nan, seed=1), folder / "made")


def _two_sets(folder: Path) -> None:
    write_images(random_set(), folder / "set")
    write_images(random_set(seed=1), folder / "made")


def _empty(folder: Path) -> None:
    (folder / "set").mkdir()


def _text_called_png(folder: Path) -> None:
    (folder / "set").mkdir()
    (folder / "set" / "a.png").write_text("hello")


def _half_a_tiff(folder: Path) -> None:
    (folder / "set").mkdir()
    tifffile.imwrite(folder / "set" / "a.tif", np.arange(40_000, dtype=np.uint16).reshape(200, 200))
    data = (folder / "set" / "a.tif").read_bytes()
    (folder / "set" / "a.tif").write_bytes(data[: len(data) // 2])


def _nan_pixels(folder: Path) -> None:
    (folder / "set").mkdir()
    tifffile.imwrite(folder / "set" / "a.tif", np.full((80, 80), np.nan, np.float32))


def _misspelt_recipe(folder: Path) -> None:
    (folder / "r.yaml").write_text("title: x\nbudget: {secnds: 5}\nmethods: {vae: {}}\nspecimens: {}\n")


def _old_run(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "run.json").write_text('{"format": 0, "lineage": {"morphogen": "0.0.1"}}')


TRAIN = ("train", "vae", "set", "--out", "run")


@pytest.mark.parametrize(
    ("prepare", "words", "message"),
    [
        (_nothing, TRAIN, "there is no file or folder set"),
        (_empty, TRAIN, "there are no images in set"),
        (_text_called_png, TRAIN, "is not a PNG file, whatever its name says"),
        (_half_a_tiff, TRAIN, "is a damaged TIFF file"),
        (_nan_pixels, TRAIN, "6,400 pixels that are NaN or infinite"),
        (_set, TRAIN, "is 40 x 48, smaller than the crop 64 x 64"),
        (_set, (*TRAIN, "--crop", "17", "16"), "vae cannot take images of 17 x 16"),
        (_set, ("train", "vea", "set"), "there is no method 'vea': choose one of conditional_gan, "),
        (_set, (*TRAIN, "--set", "latent=4"), "'latent' is not a known key: did you mean 'latent_dimensions'?"),
        (_set, (*TRAIN, "--seconds", "5", "--images-seen", "5"), "two budgets were given"),
        (_set, (*TRAIN, "--specimen", "rok"), "there is no kind of specimen 'rok'"),
        (_misspelt_recipe, ("study", "r.yaml"), "'budget.secnds' is not a known key: did you mean 'seconds'?"),
        (_nothing, ("study", "missing.yaml"), "there is no recipe missing.yaml"),
        (_old_run, ("generate", "run", "--out", "made"), "written by Morphogen 0.0.1 in run format 0"),
        (_set, ("evaluate", "--measured", "set", "--generated", "no"), "there is no file or folder no"),
        (
            _without_pixel_size,
            ("evaluate", "--measured", "set", "--generated", "made", "--micrometres"),
            "the pixel size of the measured",
        ),
        (
            _two_sets,
            ("evaluate", "--measured", "set", "--generated", "made", "--segmentation", "otus"),
            "there is no segment",
        ),
        (
            _set,
            ("evaluate", "--measured", "set", "--generated", "set"),
            "'set' and the measured set are the same images",
        ),
        (_two_sets, ("evaluate", "--measured", "set", "--generated", "made", "--features", "foo"), "there are no feat"),
        (_set, ("describe", "set", "--kind", "rock", "--segmentation", "masks", "--crop", "16", "16"), "has no mask"),
        (_nothing, ("audit", "stone", "--out", "a"), "there is no kind of specimen 'stone'"),
        (_nothing, ("audit", "rock", "--out", "a", "--crop", "16", "16"), "fields of 16 x 16 pixels are too small"),
        (_nothing, ("audit", "rock", "--out", "a", "--defect", "rust"), "there is no defect 'rust'"),
        (_nothing, ("phantom", "stone", "--out", "p"), "there is no phantom of kind 'stone'"),
        (_nothing, ("generate", "run", "--out", "made", "--sources", "set", "-n", "4"), "--count says nothing of them"),
        (_nothing, ("generate", "run", "--out", "made", "--shrink", "2"), "--shrink says nothing of what is drawn"),
        (_nothing, ("describe", "set", "--sheet", "no/sheet.png"), "there is no folder no for sheet.png"),
        (_nothing, ("phantom", "rock", "--out", "p", "-p", "porosty=0.2"), "did you mean 'porosity'?"),
    ],
)
def test_what_a_person_can_put_right_is_one_line_and_exit_code_two(tmp_path, prepare, words, message):
    prepare(tmp_path)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    done = morphogen(*words, cwd=tmp_path, code=2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_a_fault_of_the_program_keeps_its_traceback_in_a_file(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import morphogen.images.folders as f\ndef broken(*a, **k): raise RuntimeError('a fault')\n"
        "f.read_images = broken\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "morphogen", "describe", "set"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    (log,) = tmp_path.glob("morphogen-*.log")
    assert "RuntimeError: a fault" in log.read_text()


def test_pairs_score_the_same_whatever_else_is_in_the_folder(tmp_path):
    images = random_set(2, size=(48, 48), seed=4)
    write_images(images, tmp_path / "a")
    write_images(random_set(2, size=(48, 48), seed=5), tmp_path / "b")
    for folder in ("a", "b"):
        (tmp_path / folder / "images" / "manifest.json").unlink()
    both, one = (json.loads(_pairs_json(tmp_path, number)) for number in (2, 1))
    first = {pair["metric"]: pair["value"] for pair in both if pair["pair"] == "0000"}
    assert first == pytest.approx({pair["metric"]: pair["value"] for pair in one})
    assert any("SSIM" in metric for metric in first)


def _pairs_json(folder: Path, number: int) -> str:
    if number == 1:
        for name in ("a", "b"):
            (folder / name / "images" / "0001.png").unlink()
    done = morphogen(
        "evaluate", "--paired", "--measured", "a", "--generated", "b", "--json", f"{number}.json", cwd=folder
    )
    assert "0000" in done.stdout
    return (folder / f"{number}.json").read_text()


def test_torchvision_is_absent():
    """It resolves beside a CPU build of torch and then breaks diffusers at import."""
    import importlib.util

    assert importlib.util.find_spec("torchvision") is None


def test_the_latent_space_on_the_command_line(tmp_path):
    write_images(random_set(3), tmp_path / "set")
    morphogen("train", "stylegan2", "set", "-o", "run", "--images-seen", "8", "--crop", "16", "24", *STYLEGAN,
              cwd=tmp_path)  # fmt: skip
    morphogen("interpolate", "--seeds", "3", "7", "11", "run", "-o", "line", "--steps", "3", cwd=tmp_path)
    line = read_images(tmp_path / "line")
    assert [p.labels["to seed"] for p in line] == [7, 7, 7, 11, 11, 11]
    morphogen("mix", "run", "-o", "mixed", "--rows", "1,2", "--columns", "4", "5", "6", "--layers", "fine",
              cwd=tmp_path)  # fmt: skip
    assert len(read_images(tmp_path / "mixed")) == 6
    said = morphogen("project", "run", "set", "-o", "found", "--steps", "2", "--crop-at", "1", "2", cwd=tmp_path)
    assert "0001.png at 1, 2: correlation" in said.stdout
    for picture in ("line/strips.png", "mixed/matrix.png", "found/projections.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    for words, message in (
        (("interpolate", "run", "--seeds", "3"), "give two seeds or more"),
        (("interpolate", "run", "--seeds", "3,x"), "is no list of seeds"),
        (("mix", "run", "--rows", "1", "--columns", "2", "--layers", "0-99"), "there are no layers '0-99'"),
        (("project", "run", "set", "--crop-at", "39", "0"), "a crop of 16 x 24 at 39, 0 leaves"),
    ):
        refused = morphogen(*words, "-o", "out", cwd=tmp_path, code=2)
        assert message in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--seeds", "3", "7", "11", "run"), ("--seeds=3", "7", "11", "run"), ("run", "--seeds=3,7", "11"),
        ("--seeds", "3,7", "11", "run"), ("run", "--seeds", "3 7", "11"), ("--seeds=3, 7,", "11", "run"),
    ],
)  # fmt: skip
def test_seeds_are_words_of_their_own_with_and_without_an_equals_sign(monkeypatch, tmp_path, words):
    told = []

    def interpolated(run, seeds, **_):
        told.append((str(run), seeds))
        raise Problem("seen", do="stop")

    monkeypatch.setattr("morphogen.generation.latent_space.interpolate", interpolated)
    with pytest.raises(Problem, match="seen"):
        ask("interpolate", *words, "-o", tmp_path / "out")
    assert told == [("run", (3, 7, 11))]


@pytest.mark.parametrize("wrong", [("--seeds=",), ("--seeds=3", "x"), ("--seeds=x", "3"), ("--seeds=3.5",)])
def test_what_is_no_list_of_seeds_is_refused(wrong):
    with pytest.raises((Problem, click.UsageError), match=r"is no list of seeds|unexpected extra argument"):
        ask("interpolate", "run", *wrong, "-o", "out")


def test_no_problem_that_the_library_tells_names_an_option():
    """It is read by those who call it from Python or a recipe, too; the command line has its own."""
    package = Path(problems.__file__).parent
    told = [
        (file.relative_to(package), text.value)
        for file in package.rglob("*.py")
        if file.name != "cli.py" and file.parent.name != "commands"
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and getattr(call.func, "attr", getattr(call.func, "id", "")) in ("Problem", "print")
        for text in ast.walk(call)
        if isinstance(text, ast.Constant) and isinstance(text.value, str)
    ]
    assert len(told) > 300
    assert [
        (file, text) for file, text in told if re.search(r"(?<!\w)--[a-z]", text) and "pip install" not in text
    ] == []


def ask(*words: str | Path) -> None:
    """A command in this process; what a person can put right is raised."""
    cli.main([str(word) for word in words], standalone_mode=False)


def test_every_command_is_a_python_call_and_stands_in_the_docs(request):
    """The calls stay what they are when the folders of the package have been imported."""
    other = {"phantom": "make_phantoms", "triples": "make_triples", "asked": "asked_and_given"}
    other |= {"audit": "audit_metrics", "review": "new_review", "studio": "serve_studio"}
    names = [other.get(command, command) for command in COMMANDS if command not in ("methods", "editors")]
    code = (
        "import inspect, sys, morphogen\n"
        "for _ in range(2):\n"
        "    for name in reversed(morphogen.__all__): assert inspect.isfunction(getattr(morphogen, name)), name\n"
        "missing = [name for name in sys.argv[1:] if name not in morphogen.__all__]\n"
        "assert not missing, missing\n"
        "morphogen.image_set(morphogen.make_phantoms('rock', count=1, size=(64, 64), seed=0))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = [request.config.rootpath / name for name in ("README.md", "docs/commands.md")]
    readme = "".join(path.read_text(encoding="utf-8") for path in written)
    for command in set(COMMANDS) - {
        "methods",
        "editors",
        "interpolate",
        "mix",
        "retrieve",
    }:  # these stand beside others
        assert f"\nmorphogen {command} " in readme, command
    assert "morphogen phantom fiber --labels" in readme


DRAWING = (("-n", "16"), ("--ask", "porosity=0.2"), ("--steps", "5"), ("--strict",), ("--truncation", "0.5"))
READING = (
    ("--grey",), ("--shrink", "1"), ("--files", "*"), ("--specimen-pattern", "x"), ("--pixel-size", "2"),
    ("--axis", "0"),
)  # fmt: skip


def test_what_says_nothing_of_sources_is_refused_beside_them_and_what_reads_them_without(tmp_path):
    """Even where it is given as its default."""
    for option in DRAWING:
        name = "--count" if option[0] == "-n" else option[0]
        with pytest.raises(Problem, match=rf"{name} says nothing of them: leave it out"):
            ask("generate", tmp_path / "run", "-o", tmp_path / "out", "--sources", tmp_path, *option)
    with pytest.raises(Problem, match=r"--count, --strict says nothing"):
        ask("generate", tmp_path / "run", "-o", tmp_path / "out", "--sources", tmp_path, "--strict", "-n", "3")
    for option in READING:
        with pytest.raises(Problem, match=rf"{option[0]} says nothing of what is drawn: leave it out, or name images"):
            ask("generate", tmp_path / "run", "-o", tmp_path / "out", *option)


CYCLEGAN = [f"--set={name}={json.dumps(value)}" for name, value in SMALL["cyclegan"].items()]


def test_sources_are_read_as_the_images_are(tmp_path):
    """In training with --grey, --shrink and --axis; in generation with all reading options."""
    write_images(random_set(channels=3), tmp_path / "set")
    volume = np.random.default_rng(0).integers(0, 256, (40, 44, 6), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "volume.tif", volume)
    options = ("--grey", "--shrink", "2", "--axis", "2")
    ask("train", "cyclegan", tmp_path / "set", "--sources", tmp_path / "volume.tif", "-o", tmp_path / "run",
        "--images-seen", "8", "--crop", "16", "16", "--cpu", *options, "--pixel-size", "7", *CYCLEGAN)  # fmt: skip
    sources = read_images(tmp_path / "volume.tif", grey=True, shrink=2, axis=2)
    record = Run(tmp_path / "run").record
    assert record.sources.fingerprint == sources.fingerprint
    assert (record.sources.pictures, record.images.spacing_um, record.sources.spacing_um) == (6, (14, 14), (None, None))
    ask("generate", tmp_path / "run", "--sources", tmp_path / "volume.tif", "-o", tmp_path / "one", "--cpu", *options,
        "--pixel-size", "3")  # fmt: skip
    made = read_images(tmp_path / "one")
    assert [(p.size, p.spacing_um) for p in made] == [((20, 22), (6, 6))] * 6
    write_images(random_set(4, channels=3), tmp_path / "more")
    (tmp_path / "more" / "images" / "manifest.json").unlink()
    ask("generate", tmp_path / "run", "--sources", tmp_path / "more", "-o", tmp_path / "two", "--cpu", "--grey",
        "--files", "000[12]*", "--specimen-pattern", "[0-9]$|2[.]png|1[.]png")  # fmt: skip
    assert [p.labels["translated from"] for p in read_images(tmp_path / "two")] == ["1.png", "2.png"]


@pytest.mark.parametrize(
    "words",
    [
        ("describe", "set", "--sheet"),
        ("generate", "run", "-o", "out", "--sheet"),
        ("generate", "run", "-o", "out", "--sources", "set", "--sheet"),
        ("interpolate", "run", "-o", "out", "--seeds", "1", "2", "--sheet"),
        ("mix", "run", "-o", "out", "--rows", "1", "--columns", "2", "--sheet"),
        ("project", "run", "set", "-o", "out", "--sheet"),
        ("evaluate", "--measured", "set", "--generated", "made", "--json"),
        ("asked", "made", "--measured", "set", "--json"),
        ("asked", "made", "--measured", "set", "--figure"),
    ],
)
def test_where_a_file_cannot_be_written_no_work_is_begun(tmp_path, monkeypatch, words):
    """None of the sets and runs exists: begun work would say so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file.txt").touch()
    for place, message in (
        ("folder.png", "folder.png is a folder: name a file"),
        ("no/a.png", "there is no folder no for a.png: make it"),
        ("file.txt/a.png", "file.txt/a.png cannot be written"),
    ):
        with pytest.raises(Problem, match=message):
            ask(*words, place)
    monkeypatch.setattr("morphogen.whole_files.os.access", lambda *_: False)
    with pytest.raises(Problem, match=r"^a.png cannot be written: choose a folder that you may write to$"):
        ask(*words, "a.png")


def test_a_file_may_go_into_the_folder_that_the_work_makes_and_over_another(tmp_path):
    out = tmp_path / "out"
    assert require_writable_file(out / "a.png", made=out) == out / "a.png"
    with pytest.raises(Problem, match="there is no folder"):
        require_writable_file(out / "deeper" / "a.png", made=out)
    (tmp_path / "there.json").write_text("old")
    write_text_whole(require_writable_file(tmp_path / "there.json"), "new")
    assert (tmp_path / "there.json").read_text() == "new"
    # A folder that takes the place while the work is done is no fault of the program either.
    out.mkdir()
    with pytest.raises(Problem, match="out cannot be written"):
        write_text_whole(out, "x")


def test_asked_wants_the_run_that_drew_the_images(tmp_path):
    def with_label(name: str, seed: int = 0) -> Pictures:
        pictures: list[Picture] = list(random_set(3, seed=seed))
        return Pictures(replace(p, labels={name: float(k)}) for k, p in enumerate(pictures))

    def run(folder: str, images: Pictures, *conditions: str, method: str = "conditional_gan") -> Run:
        return train(method, images, tmp_path / folder, images_seen=8, size=(16, 24), settings=SMALL[method],
                     conditions=conditions, cpu=True)  # fmt: skip

    drew = run("drew", with_label("porosity"), "porosity")
    run("plain", with_label("porosity"), method="vae")
    run("depths", with_label("depth"), "depth")
    run("others", with_label("porosity", seed=1), "porosity")
    generate(drew, count=3, folder=tmp_path / "made", cpu=True)
    write_images(with_label("porosity"), tmp_path / "set")
    for folder, message in (
        ("plain", "is a run of vae without conditions: name the run that drew the images"),
        ("depths", "were asked for porosity, and .*depths is conditioned on depth: name the run"),
        ("others", "drawn by a run that was trained on other images than .*others: name the run"),
        ("drew", "images were asked for a porosity that training saw"),  # too few; but of all the right run
    ):
        with pytest.raises(Problem, match=message):
            ask("asked", tmp_path / "made", "--measured", tmp_path / "set", "--run", tmp_path / folder)
