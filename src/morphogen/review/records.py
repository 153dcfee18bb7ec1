"""What a review is made of: what stands in its folder for all to read, what is sealed, and what raters answer.

``study.json`` holds the design: which images are shown to whom in which order, under names that say nothing. What these
names stand for is in the key, which is encrypted (``sealing``). The questions of the training round alone carry their
right answer, since raters are told it; their images are used nowhere else.
"""

import hashlib
import json
from typing import Any, Literal

from morphogen.evaluation.records import Record

Kind = Literal["one", "two", "prefer", "rate"]
"""What is asked.

one     one image: measured or generated, from surely to surely
two     two images, one of each: which is measured, from surely to surely
prefer  two images of different sets: which looks more like a measured one
rate    one image: how far it meets each criterion
"""

KINDS: tuple[Kind, ...] = ("one", "two", "prefer", "rate")

CHOICES: dict[Kind, int] = {"one": 6, "two": 6, "prefer": 2, "rate": 0}
"""How many answers there are to choose from; of the six, the first three say "measured" or "left", surely first."""

RATINGS = 5
"""Steps of a rating, from 1, not at all, to this, fully."""


class Question(Record):
    """One question to one rater.

    Attributes:
        kind: what is asked.
        images: names of the images shown, from left to right.
        right: in the training round which half of the choices is right, 0 or 1; None elsewhere.
        repeat_of: position of the question of which this is a repeat, with the sides changed; None for a first one.
    """

    kind: Kind
    images: tuple[str, ...]
    right: int | None = None
    repeat_of: int | None = None

    @property
    def training(self) -> bool:
        """Whether it belongs to the training round."""
        return self.right is not None


class Rater(Record):
    """One rater.

    Attributes:
        name: what the results call him.
        token_sha256: hash of the token in his personal link.
        questions: what he is asked, in this order.
    """

    name: str
    token_sha256: str
    questions: tuple[Question, ...]


class Design(Record):
    """What was fixed before the first answer.

    Attributes:
        format: version of this record.
        title: heading of the page.
        kind_of_specimen: a file of ``morphogen.specimens``.
        subject: what raters are told the images are.
        created: when, ISO 8601.
        morphogen: version of Morphogen.
        kinds: what is asked.
        criteria: what is rated, where that is asked.
        shape: slices, height, width and channels of every image.
        levels: how many grey levels every image has; up to 256 of them are stored as one byte, more as two.
        grey_range: grey values of the first and the last level.
        spacing_um: height and width of a pixel in micrometres, None where unknown.
        images: name and SHA-256 of every image file.
        raters: who is asked what.
        key_place: where the key to the seal was written, which the server must not be able to read; "" for nowhere.
    """

    format: int = 1
    title: str
    kind_of_specimen: str
    subject: str
    created: str
    morphogen: str
    kinds: tuple[Kind, ...]
    criteria: tuple[str, ...]
    shape: tuple[int, int, int, int]
    levels: int
    grey_range: tuple[float, float]
    spacing_um: tuple[float | None, float | None]
    images: dict[str, str]
    raters: tuple[Rater, ...]
    key_place: str

    @property
    def bytes_a_slice(self) -> int:
        """Size of one slice of an image, the same for all."""
        _, height, width, channels = self.shape
        return height * width * channels * (1 if self.levels <= 256 else 2)


class Study(Record):
    """``study.json``: the design, and the hash of what is sealed."""

    design: Design
    key_sha256: str


class SetRecord(Record):
    """One image set of a review when it was made: what it is, how many images, their fingerprints, their place.

    ``fields_fingerprint`` is of the fields that ``evaluate`` cuts from it by default; ``seen`` tells of a generated set
    that its method was trained on the measured images that are shown.
    """

    role: Literal["measured", "generated"]
    fingerprint: str
    fields_fingerprint: str
    images: int
    place: str
    seen: bool = False


class Source(Record):
    """Where one image comes from."""

    set: str
    specimen: str
    source: str
    slice: int | None
    region: tuple[int, int, int, int] | None


class Key(Record):
    """What is sealed.

    Attributes:
        salt: random; without it the hash of a short key could be found by trying all keys.
        seed: random, from which all of the design was drawn.
        design_sha256: hash of the design, so that none can be put in its place.
        sets: the sets by name; the measured one first.
        images: where each image comes from, by its name.
    """

    salt: str
    seed: str
    design_sha256: str
    sets: dict[str, SetRecord]
    images: dict[str, Source]


class Answer(Record):
    """One answer as it is stored.

    Attributes:
        number: running number in the order in which the server took them; what counts as order, whatever clocks say.
        rater: whose.
        position: of which question.
        revision: 0 for the first answer to it, 1 where it was taken back once, and so on. The last counts.
        choice: number of the choice from 0; None for a rating.
        ratings: of each criterion, 1 to 5, None where the rater could not say.
        seconds: from when the images were on the screen, by the browser's own clock, without pauses.
        attempt: random word of the browser, by which an answer that is sent twice is known.
        session: which run of the server took it.
        monotonic: seconds on a clock of that run that never jumps.
        wall: what the calendar said, ISO 8601; for people, not for the order.
    """

    number: int
    rater: str
    position: int
    revision: int
    choice: int | None
    ratings: tuple[int | None, ...]
    seconds: float
    attempt: str
    session: str
    monotonic: float
    wall: str


def canonical(record: Record) -> bytes:
    """The bytes of a record, over which it is hashed."""
    plain: Any = record.model_dump(mode="json")
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
