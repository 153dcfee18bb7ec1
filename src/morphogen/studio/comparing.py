"""The page compare: two sets side by side in one grey scale, and the evidence of how far they are apart.

The evidence is work: ``morphogen evaluate --out``. Its verdict is shown on the page, in its own words, and its whole
page beside it, as it was written, in a frame without scripts.
"""

import math
import shlex
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from morphogen.problems import Problem
from morphogen.report.study_record import StudyRecord
from morphogen.report.verdict import About, measure_name, verdict
from morphogen.serving.manners import HEADERS
from morphogen.specimens.specimen import specimen_names
from morphogen.studio.drawing_wish import LARGEST_SEED, ThingName
from morphogen.studio.generating import Command, NewName
from morphogen.studio.studio import Studio
from morphogen.studio.work import Work
from morphogen.studio.workspace import Missing

FEATURES = ("descriptors", "vgg16", "alexnet")
"""What distances can be computed over without a file of weights that a person brings."""

_FRAMED = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'; sandbox allow-same-origin"
)
"""Policy of a report: its style stands in it, its images too, and it has no script."""

Features = Literal["descriptors", "vgg16", "alexnet"]


class Comparing(BaseModel):
    """What is to be compared.

    Attributes:
        measured: name of the measured set.
        generated: names of the generated sets.
        training: name of the set that the methods learnt from: it is searched for copies, and is the floor.
        specimen: kind of specimen.
        features: what distances are computed over.
        fields: of each set at most.
        seed: of fields and bootstrap.
        name: of the evidence.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    measured: ThingName
    generated: list[ThingName] = Field(min_length=1, max_length=8)
    training: ThingName | None = None
    specimen: Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_]{1,40}$")] = "rock"
    features: list[Features] = Field(default=["descriptors"], min_length=1, max_length=3)
    fields: int = Field(default=256, ge=8, le=4096)
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    name: NewName = "new"

    @model_validator(mode="after")
    def _each_once(self) -> "Comparing":
        sets = [self.measured, *self.generated]
        if len(set(sets)) < len(sets):
            raise ValueError("a set is given twice")
        if len(set(self.features)) < len(self.features):
            raise ValueError("features are given twice")
        return self


class Finding(BaseModel):
    """What is said of one subject."""

    subject: str
    sentences: list[str]


class DescriptorTest(BaseModel):
    """One descriptor of one set: its mean less the measured one with its 95 % interval, held against its margin."""

    compared: str
    role: str
    descriptor: str
    verdict: str
    difference: float | None
    low: float | None
    high: float | None
    margin: float | None
    unit: str
    fields_needed: int | None


class Distance(BaseModel):
    """One distance of one set, in units of the floor."""

    compared: str
    role: str
    measure: str
    ratio: float | None
    value: float | None
    low: float | None
    high: float | None


class Evidence(BaseModel):
    """What a comparison found."""

    name: str
    title: str
    command: str
    headline: str
    findings: list[Finding]
    tests: list[DescriptorTest]
    distances: list[Distance]


SUBJECTS: tuple[tuple[About, str], ...] = (
    ("controls", "Against the controls"), ("agreement", "Other measures"), ("physics", "Physics"), ("copies", "Copies"),
    ("variety", "Variety"), ("caution", "To bear in mind"),
)  # fmt: skip

EvidenceName = Annotated[str, Query(min_length=1, max_length=4096)]


def router(studio: Studio) -> APIRouter:
    """The page and what it asks for."""
    routes = APIRouter()

    def typed(name: str) -> str:
        return studio.workspace.find(name, "set").typed

    def words_of(asked: Comparing) -> list[str]:
        words = ["evaluate", "--measured", typed(asked.measured)]
        for name in asked.generated:
            words += ["--generated", typed(name)]
        words += ["--training", typed(asked.training)] if asked.training is not None else []
        words += ["--specimen", asked.specimen]
        for name in asked.features:
            words += ["--features", name]
        return [*words, "--fields", str(asked.fields), "--seed", str(asked.seed), "--out", f"compared/{asked.name}"]

    @routes.get("/compare", include_in_schema=False)
    def page(request: Request) -> Response:
        response = studio.page(request, "compare", kinds=specimen_names(), features=FEATURES)
        response.headers["Content-Security-Policy"] = HEADERS["Content-Security-Policy"] + "; frame-src 'self'"
        return response

    @routes.post("/api/compare/command")
    def command(asked: Comparing) -> Command:
        return Command(command=shlex.join(["morphogen", *words_of(asked)]))

    @routes.post("/api/compare/make")
    def make(asked: Comparing) -> Work:
        if asked.specimen not in specimen_names():
            raise Problem(
                f"there is no kind of specimen '{asked.specimen}'", do=f"choose among {', '.join(specimen_names())}"
            )
        makes = studio.workspace.place_for("compared", asked.name)
        reads = [asked.measured, *asked.generated, *([asked.training] if asked.training is not None else [])]
        title = f"{', '.join(asked.generated)} against {asked.measured}"
        return studio.works.start("compare", title, words_of(asked), of=reads, makes=makes)

    @routes.get("/api/evidence")
    def evidence(name: EvidenceName) -> Evidence:
        place = studio.workspace.find(name, "evidence").path
        try:
            record = StudyRecord.model_validate_json((place / "study.json").read_text(encoding="utf-8"))
        except (OSError, ValidationError, ValueError):
            raise Missing(f"the records of {name} cannot be read", do="compare again") from None
        return _evidence(name, record)

    @routes.get("/evidence", response_class=HTMLResponse, include_in_schema=False)
    def whole_page(name: EvidenceName) -> Response:
        place = studio.workspace.find(name, "evidence").path
        try:
            text = (place / "index.html").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            raise Missing(f"{name} has no page", do="compare again") from None
        return HTMLResponse(text, headers={"Content-Security-Policy": _FRAMED})

    return routes


def _evidence(name: str, record: StudyRecord) -> Evidence:
    first = record.specimens[0]
    comparison = first.comparison
    found = verdict(comparison)
    tests = []
    for e in comparison.equivalences:
        low, high = e.difference_95 or (None, None)
        tests.append(
            DescriptorTest(
                compared=e.compared, role=e.role, descriptor=e.descriptor, verdict=e.verdict,
                difference=_finite(e.difference), low=_finite(low), high=_finite(high), margin=_finite(e.margin),
                unit=e.unit, fields_needed=e.fields_needed,
            )
        )  # fmt: skip
    distances = [
        Distance(
            compared=s.compared, role=s.role, measure=measure_name(s), ratio=_finite(s.ratio_to_floor),
            value=_finite(s.estimate.value), low=_finite(s.estimate.low), high=_finite(s.estimate.high),
        )
        for s in comparison.scores
    ]  # fmt: skip
    findings = [Finding(subject=title, sentences=list(found.about(about))) for about, title in SUBJECTS]
    return Evidence(
        name=name, title=record.title, command=record.command, headline=found.headline,
        findings=[finding for finding in findings if finding.sentences], tests=tests, distances=distances,
    )  # fmt: skip


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
