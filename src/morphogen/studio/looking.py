"""The page look: what is in a set, before anything is trained on it.

The contact sheet, the histogram and the scale are there at once, from pictures that stand for the set. What takes
longer, the descriptors with how they spread, duplicates, artefacts and advice, is a card that ``morphogen describe``
makes as work; the page shows the last one of the set.
"""

import json
import math
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from morphogen.images.picture import Picture
from morphogen.problems import Problem
from morphogen.specimens.specimen import specimen_names
from morphogen.studio.studio import Studio
from morphogen.studio.work import Work
from morphogen.studio.workspace import Missing, Thing

BINS = 96
SHOWN_OF_CARD = ("images", "specimens", "crop_px", "independent_fields", "really_independent", "kind", "phase",
                 "segmentation", "facts", "correlations", "advice", "identical", "near", "artefacts", "split", "grey",
                 "levels", "spacing_um")  # fmt: skip
LARGEST_CARD = 2**25

REPORT_HEADERS = {
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
}
"""A report is one file with its style in it, and brings its own policy: no script runs, and it is of no origin."""

Name = Annotated[str, Query(min_length=1, max_length=4096)]


class HistogramShown(BaseModel):
    """Share of the pixels (percent) in equal bins of grey level, by channel, in pictures that stand for the set."""

    edges: list[float]
    channels: dict[str, list[float]]
    pictures: int
    pixel_type: str


class CardShown(BaseModel):
    """The last card of a set. ``card`` is a part of what ``describe`` wrote; None where there is none yet."""

    name: str
    older_than_set: bool
    card: dict[str, Any] | None


class ToDescribe(BaseModel):
    """What ``describe`` is to be told."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=4096)
    specimen: str = Field(default="", max_length=64)
    pixel_size_um: float | None = Field(default=None, gt=0, le=1e9, allow_inf_nan=False)


def router(studio: Studio) -> APIRouter:
    """The page and what it asks for."""
    routes = APIRouter()

    @routes.get("/look", include_in_schema=False)
    def page(request: Request) -> Response:
        return studio.page(request, "look", specimens=specimen_names())

    @routes.get("/api/set/histogram")
    def histogram(name: Name) -> HistogramShown:
        pictures = studio.gallery(name).sample()
        edges, channels = histogram_of(pictures)
        return HistogramShown(
            edges=edges, channels=channels, pictures=len(pictures), pixel_type=pictures[0].pixels.dtype.name
        )

    @routes.get("/api/set/card")
    def card(name: Name) -> CardShown:
        thing = studio.workspace.find(name, "set", "triples")
        for other in studio.workspace.all_of("card"):
            told = read_json(other)
            if told is not None and told.get("name") == thing.typed:
                shown = {key: told[key] for key in SHOWN_OF_CARD if key in told}
                return CardShown(name=other.name, older_than_set=other.changed < thing.changed, card=shown)
        return CardShown(name="", older_than_set=False, card=None)

    @routes.post("/api/look/describe")
    def describe(asked: ToDescribe) -> Work:
        thing = studio.workspace.find(asked.name, "set", "triples")
        if thing.kind == "triples":
            raise Problem("triples are two sets", do="describe one of them on the command line")
        free = studio.workspace.free_name("cards", thing.path.name)
        makes = studio.workspace.place_for("cards", free)
        words = ["describe", thing.typed, "--out", makes]
        if asked.specimen:
            if asked.specimen not in specimen_names():
                raise Missing("there is no such kind of specimen", do=f"choose {', '.join(specimen_names())}")
            words += ["--specimen", asked.specimen]
        if asked.pixel_size_um is not None:
            words += ["--pixel-size", f"{asked.pixel_size_um:g}"]
        return studio.works.start("look", f"Describe {thing.name}", words, of=[thing.name], makes=makes)

    @routes.get("/api/report", response_class=HTMLResponse)
    def report(name: Name) -> Response:
        thing = studio.workspace.find(name, "card", "evidence")
        file = thing.path / "index.html"
        if not file.is_file() or not file.resolve().is_relative_to(thing.path.resolve()):
            raise Missing(f"{name} has no page", do="make it anew")
        return HTMLResponse(file.read_bytes(), headers=REPORT_HEADERS)

    return routes


def histogram_of(pictures: list[Picture]) -> tuple[list[float], dict[str, list[float]]]:
    """Edges of equal bins, and the share of the pixels in each, in percent, by channel.

    Whole numbers go whole into the bins, or the histogram would have teeth.
    """
    low = float(min(p.pixels.min() for p in pictures))
    high = float(max(p.pixels.max() for p in pictures))
    if pictures[0].pixels.dtype.kind == "u":
        width = max(1, math.ceil((high - low + 1) / BINS))
        edges = low + width * np.arange(math.ceil((high - low + 1) / width) + 1) - 0.5
    else:
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    count = pictures[0].channels
    names = {1: ["grey"], 3: ["red", "green", "blue"]}.get(count, [f"channel {k + 1}" for k in range(count)])
    found = {}
    for k, name in enumerate(names):
        counts = np.sum([np.histogram(p.pixels[k], edges)[0] for p in pictures], axis=0)
        found[name] = [round(100 * int(n) / max(1, int(counts.sum())), 5) for n in counts]
    return [float(edge) for edge in edges], found


def read_json(thing: Thing) -> dict[str, Any] | None:
    """The record of a card; None where it is damaged or larger than one can be."""
    file = thing.path / "card.json"
    try:
        if file.stat().st_size > LARGEST_CARD:
            return None
        found = json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
