"""A review in its folder, as ``making`` wrote it.

    study.json        the design, and the hash of the key: what anyone may read
    images/           every image under a random name, as plain pixels, all of one size and one date
    key.sealed        what the names stand for, encrypted (``sealing``)
    links.csv         the personal links, readable for the owner alone
    answers.sqlite    the answers (``answers``), once there are any
    opened.json       when the key was first opened, and after how many answers

What the server needs of it is here, so that it starts at once and holds little.
"""

import csv
import io
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from morphogen.evaluation.records import Record
from morphogen.problems import Problem
from morphogen.review.records import Study, sha256
from morphogen.whole_files import write_text_whole

STUDY, LINKS, SEALED, OPENED = "study.json", "links.csv", "key.sealed", "opened.json"


class Opening(Record):
    """When the key was first opened, and how many answers there were."""

    opened: str
    answers: int


@dataclass(frozen=True, slots=True)
class OpenReview:
    """A review that was found to be as it was sealed.

    Attributes:
        folder: where it is.
        study: its record.
        sha256: hash of ``study.json``.
        sealed: the encrypted key.
    """

    folder: Path
    study: Study
    sha256: str
    sealed: str

    @classmethod
    def of(cls, folder: Path, *, with_images: bool = True) -> "OpenReview":
        """Open a review.

        Args:
            folder: that ``new_review`` made.
            with_images: check every image against its hash.

        Raises:
            Problem: there is none, or an image changed since it was sealed.
        """
        try:
            text = (folder / STUDY).read_text(encoding="utf-8")
            sealed = (folder / SEALED).read_text(encoding="utf-8")
            study = Study.model_validate_json(text)
        except OSError:
            raise Problem(f"{folder} holds no review", do="give a folder that 'review new' made") from None
        except (ValidationError, ValueError):
            raise Problem(f"{folder / STUDY} is not a review that this version reads", do="restore it") from None
        if with_images:
            for name, expected in study.design.images.items():
                file = folder / "images" / name
                if not file.is_file() or sha256(file.read_bytes()) != expected:
                    raise Problem(f"the image {name} of {folder} changed since the study was sealed", do="restore it")
        return cls(folder, study, sha256(text.encode()), sealed)

    def links(self) -> dict[str, str]:
        """The path of each rater's personal link; empty where the table was taken away."""
        try:
            rows = list(csv.DictReader(io.StringIO((self.folder / LINKS).read_text(encoding="utf-8"))))
            return {row["rater"]: row["link"] for row in rows}
        except (OSError, KeyError):
            return {}

    def slice_of(self, image: str, number: int) -> bytes:
        """The pixels of one slice of an image."""
        size = self.study.design.bytes_a_slice
        with open(self.folder / "images" / image, "rb") as file:
            return os.pread(file.fileno(), size, number * size)

    def opening(self, answers: int) -> Opening:
        """When the key was first opened; if it never was, now, after so many answers, and that is written down."""
        file = self.folder / OPENED
        if not file.exists():
            now = Opening(opened=datetime.now(UTC).isoformat(timespec="seconds"), answers=answers)
            write_text_whole(file, now.model_dump_json())
        try:
            return Opening.model_validate_json(file.read_text(encoding="utf-8"))
        except (ValidationError, ValueError):
            raise Problem(f"{file} cannot be read", do="restore it") from None
