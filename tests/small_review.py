"""A small review, and raters who answer it with a known sensitivity."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.review.answers import AnswerBook, Given
from morphogen.review.folder import OpenReview
from morphogen.review.making import Made, new_review
from morphogen.review.records import Key, Question


def noise_set(
    name: str, count: int, size: tuple[int, int] = (20, 24), dtype: str = "uint8", channels: int = 1, step: int = 1
) -> Pictures:
    """Noise; generated sets are smoother in one direction, so that a compressed file of them would be smaller."""
    random = np.random.default_rng(sum(map(ord, name)))
    pictures = []
    for k in range(count):
        pixels = random.integers(0, 200 // step, (channels, *size)) * step
        if name != "measured":
            pixels = np.repeat(pixels[..., ::2], 2, axis=-1)
        pictures.append(Picture(pixels.astype(dtype), (2.0, 2.0), Origin(f"{name} specimen {k}", f"{name}_{k}.tif")))
    return Pictures(pictures, f"folder/of/{name}")


def small_review(folder: Path, methods: tuple[str, ...] = ("painter", "copier"), **options: Any) -> Made:
    """A review of noise."""
    given = {"questions": 4, "raters": ["Ada", "Ben"], "repeats": 0.25} | options
    sets = {name: noise_set(name, 40) for name in methods}
    return new_review(folder, measured=noise_set("measured", 60), generated=sets, **given)


def truth(key: Key, question: Question) -> tuple[str, ...]:
    """The sets of the images of a question."""
    return tuple(key.images[name].set for name in question.images)


def answer_all(folder: Path, key: Key, sensitivity: dict[str, float], seed: int = 0) -> None:
    """All raters answer everything; what they see of an image is normal about the sensitivity of its set."""
    review, random = OpenReview.of(folder), np.random.default_rng(seed)
    book = AnswerBook(folder, review.sha256)
    for rater in review.study.design.raters:
        given = []
        for position, question in enumerate(rater.questions):
            seen = [random.normal(sensitivity[name]) for name in truth(key, question)]
            choice, ratings = None, ()
            if question.kind == "rate":
                ratings = tuple(int(np.clip(round(4 - seen[0]), 1, 5)) for _ in review.study.design.criteria)
            elif question.kind == "prefer":
                choice = int(seen[1] < seen[0])
            else:
                apart = seen[0] - (sensitivity["criterion"] if question.kind == "one" else seen[1])
                choice = int(np.clip(np.floor(3 + 2 * apart), 0, 5))
            given.append(Given(rater.name, position, 0, choice, ratings, 1.0, f"attempt-{rater.name}-{position}"))
        book.append(given)
    book.close()


def started(folder: Path, port: int = 0) -> tuple[subprocess.Popen[str], int]:
    """A server of the study in a process of its own, and its port."""
    command = [sys.executable, "-m", "morphogen", "review", "serve", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"http://127.0.0.1:(\d+)/", line):
            port = int(found.group(1))
        if line.startswith("Serving"):
            return server, port
    raise AssertionError("the server did not start")
