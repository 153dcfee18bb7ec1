"""The page of a study of editors: who comes first by which score, and what each made of the images.

``index.html`` holds everything that it shows; ``study.json`` beside it has the records, ``figures/`` each prompt's
images for a paper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from markupsafe import Markup
from scipy import ndimage

from morphogen.evaluation.edits import Asked, Edited, EditRow, EditScore, PromptRecord, places
from morphogen.evaluation.records import Estimate
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.report import plots
from morphogen.report.drawing import SERIES
from morphogen.report.editing_plots import Ladder, largest_wanted, moves_plot, ordinal, places_plot, prompt_style
from morphogen.report.editing_record import EditedSetRecord, EditingRecord
from morphogen.report.figures import ScaleBar, grey_scale, png_bytes, scale_bar, specimen_figure
from morphogen.report.notation import listed, number
from morphogen.report.page import CELL_PX, address, environment, free_name, png_address
from morphogen.report.verdict import Interval
from morphogen.whole_files import write_text_whole, write_whole

SHOWN = 4
"""Images of each prompt that are shown: the first ones, not chosen."""

IDENTITY = "identity"

_SAME, _BRIGHTER, _DARKER, _LINE = (
    np.array(c, float) for c in ((240, 241, 242), (213, 94, 0), (0, 114, 178), (40, 40, 40))
)

_SHORT = {"Frechet distance over": "Frechet", "LPIPS (AlexNet)": "LPIPS"}


@dataclass(frozen=True, slots=True)
class SetPictures:
    """The pictures of one set: what was asked of each, and by row what became of it."""

    asked: Sequence[Asked]
    edits: Mapping[str, Sequence[Edited]]


@dataclass(frozen=True, slots=True)
class _Line:
    """One row of a figure: a name, and for each image itself and where it changed, as addresses."""

    name: str
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A prompt with its figure."""

    record: PromptRecord
    lines: tuple[_Line, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """A score of a row with its place."""

    estimate: Estimate | None
    place: str


@dataclass(frozen=True, slots=True)
class _TableRow:
    """A row of the main table."""

    row: EditRow
    key: Markup
    succeeded: _Place
    papers: tuple[_Place, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    """What the template needs to know of one set."""

    record: EditedSetRecord
    anchor: str
    headline: str
    findings: tuple[tuple[str, str], ...]
    ladder: Markup
    order: tuple[Markup, ...]
    moves: tuple[Markup, ...]
    rows: tuple[_TableRow, ...]
    paper_names: tuple[tuple[str, str], ...]
    prompt_keys: tuple[Markup, ...]
    prompts: tuple[_Prompt, ...]
    training: tuple[Markup, ...]
    keys: Mapping[str, Markup]
    bar: ScaleBar
    bar_percent: float
    cell_px: int
    columns: int
    scale: float


def write_editing_page(record: EditingRecord, pictures: Mapping[str, SetPictures], folder: Path) -> Path:
    """Write ``index.html``, ``study.json`` and ``figures/``.

    Args:
        record: the study.
        pictures: of each set, by its name.
        folder: where; made where it is missing.

    Returns:
        The path of ``index.html``.
    """
    taken: set[str] = set()
    sections = [_section(s, pictures[s.name], free_name(s.name, taken)) for s in record.sets]
    text = (
        environment()
        .get_template("editing.html.j2")
        .render(
            study=record,
            sections=sections,
            lead=lead(record),
            recipe=yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True),
        )
    )
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for prompt in section.prompts:
            drawn = _figure(pictures[section.record.name], prompt.record.prompt)
            name = free_name(f"{section.anchor} {prompt.record.prompt}", set())
            write_whole(figures / f"{name}.png", partial(_write_png, drawn))
    write_text_whole(folder / "study.json", record.to_json())
    write_text_whole(folder / "index.html", text)
    return folder / "index.html"


def ladders(record: EditedSetRecord) -> list[Ladder]:
    """The places of editors and controls by every score, those that papers report first, and ours last.

    The true image after is no editor, and has no place.
    """
    rows = [row for row in record.comparison.rows if row.succeeded is not None and row.role != "truth"]
    found = []
    for k, paper in enumerate(rows[0].papers if rows else ()):
        values = [row.papers[k].estimate.value for row in rows]
        of_rows = places(values, higher_is_better=paper.higher_is_better)
        found.append(Ladder(short(paper.metric), False, dict(zip((r.row for r in rows), of_rows, strict=True))))
    ours = places([r.succeeded.value if r.succeeded else None for r in rows], higher_is_better=True)
    found.append(Ladder("edits that\nsucceeded", True, dict(zip((r.row for r in rows), ours, strict=True))))
    return found


def short(metric: str) -> str:
    """A name that fits above a column."""
    for long, brief in _SHORT.items():
        if metric.startswith(long):
            return brief
    return metric


def lead(record: EditingRecord) -> str:
    """The result of all sets in a few sentences."""
    verdicts = {s.name: doing_nothing(s) for s in record.sets}
    first = [name for name, (papers, _, _) in verdicts.items() if papers]
    last = [name for name, (_, last, _) in verdicts.items() if last]
    other = [name for name in verdicts if name not in last]
    parts = []
    if first:
        scores = list(dict.fromkeys(score for name in first for score in verdicts[name][0]))
        parts.append(f"Doing nothing comes first by {listed(scores)} against the image before, on {listed(first)}.")
    if last:
        parts.append(f"By edits that did what was asked and held the rest it comes last, on {listed(last)}.")
    if other:
        parts.append(f"By edits that did what was asked and held the rest it is not last on {listed(other)}.")
    return " ".join(parts)


def doing_nothing(record: EditedSetRecord) -> tuple[list[str], bool, list[str]]:
    """By which scores that papers report doing nothing comes first, whether it is last in ours, and beside whom."""
    found = ladders(record)
    papers = [ladder.title for ladder in found[:-1] if ladder.places.get(IDENTITY) == 1]
    ours = found[-1].places
    own = ours.get(IDENTITY)
    worst = max((p for p in ours.values() if p is not None), default=None)
    beside = [name for name, place in ours.items() if place == own and name != IDENTITY]
    # Where all are equal nobody is last.
    return papers, own is not None and own == worst != 1, beside


def headline(record: EditedSetRecord) -> str:
    """The result of one set in a sentence or two."""
    papers, last, beside = doing_nothing(record)
    rows = [r for r in record.comparison.rows if r.succeeded is not None and r.role != "truth"]
    best = max(
        (r for r in rows if r.role == "editor"), key=lambda r: r.succeeded.value if r.succeeded else 0.0, default=None
    )
    text = f"Doing nothing comes first by {listed(papers)}" if papers else "Doing nothing comes first by no score"
    if last:
        who = f", together with {listed(beside)}" if beside else ""
        text += f" and last by edits that succeeded{who}."
    elif len({r.succeeded.value for r in rows if r.succeeded}) == 1:
        text += "; by edits that succeeded all are equal."
    else:
        text += ", and by edits that succeeded it does not come last."
    if best is not None and best.succeeded is not None:
        e = best.succeeded
        if e.value > 0:
            text += (
                f" The best editor is {best.row}: {percent(e.value)} of its edits"
                f" [{percent(e.low)}, {percent(e.high)}] did what was asked and left the rest as it should be."
            )
        else:
            text += " No edit of any editor did what was asked and left the rest as it should be."
    return text


def percent(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.0f} %"


def _findings(record: EditedSetRecord) -> list[tuple[str, str]]:
    """A sentence on each row."""
    found = []
    for row in record.comparison.rows:
        if row.succeeded is None or row.obeyed is None or row.held is None:
            found.append((row.row, f"could not be run: {row.note}"))
            continue
        text = (
            f"{percent(row.obeyed.value)} did what was asked, {percent(row.held.value)} held the rest,"
            f" {percent(row.succeeded.value)} both."
        )
        if row.region_iou is not None and row.role == "editor" and not row.told_where:
            share = number(round(row.region_iou.value, 2))
            text += f" The region that it names overlaps the one that truly changes by {share}."
        if row.told_where:
            text += " It was told the region that truly changes."
        found.append((row.row, text + (f" {row.note}" if row.note else "")))
    return found


def styles_of(record: EditedSetRecord) -> dict[str, plots.Style]:
    """A style for every row."""
    roles = {"editor": "generated", "truth": "floor"}
    return plots.styles({row.row: roles.get(row.role, row.role) for row in record.comparison.rows})


def _section(record: EditedSetRecord, pictures: SetPictures, anchor: str) -> _Section:
    comparison = record.comparison
    style = styles_of(record)
    run = [row for row in comparison.rows if row.succeeded is not None]
    found = ladders(record)
    grey = grey_scale([a.source for a in pictures.asked])
    scale = (grey.high - grey.low) / 2
    width = record.size_px[1]
    bar = scale_bar(width, record.spacing_um[1])
    prompts = [p.prompt for p in comparison.prompts]
    largest = largest_wanted(comparison.edits)
    keys = {name: plots.key(one) for name, one in style.items()}
    best_first = sorted(run, key=lambda r: -(r.succeeded.value if r.succeeded else 0.0))
    order = [plots.interval_plot(
        "Edits that succeeded", [plots.Row(r.row, style[r.row], _interval(r.succeeded)) for r in best_first],
        axis="share that did what was asked and held the rest",
    )]  # fmt: skip
    for k, paper in enumerate(run[0].papers[:1] if run else ()):
        of_rows = [plots.Row(r.row, style[r.row], _interval(r.papers[k].estimate)) for r in best_first]
        way = "higher" if paper.higher_is_better else "lower"
        order.append(
            plots.interval_plot(paper.metric, of_rows, axis=f"against {paper.against}, {way} is called better")
        )
    return _Section(
        record=record,
        anchor=anchor,
        headline=headline(record),
        findings=tuple(_findings(record)),
        ladder=places_plot(found, {r.row: style[r.row] for r in run if r.role != "truth"}, IDENTITY),
        order=tuple(order),
        moves=tuple(moves_plot(r.row, _of(comparison.edits, r.row), prompts, largest) for r in run),
        rows=tuple(_table_row(r, found, keys[r.row]) for r in comparison.rows),
        paper_names=tuple((short(p.metric), p.metric) for p in run[0].papers) if run else (),
        prompt_keys=tuple(plots.key(prompt_style(turn)) for turn in range(len(prompts))),
        prompts=tuple(_Prompt(p, tuple(_lines(p.prompt, pictures, grey, scale))) for p in comparison.prompts),
        training=tuple(
            plots.training_plot(m.method, m.curve, plots.Style(SERIES[k % len(SERIES)], "o", True))
            for k, m in enumerate(record.runs) if m.curve
        ),
        keys=keys,
        bar=bar,
        bar_percent=100 * bar.pixels / width,
        cell_px=width * max(1, CELL_PX // width) if width <= CELL_PX else CELL_PX,
        columns=2 * min(SHOWN, min(p.n for p in comparison.prompts)),
        scale=scale,
    )  # fmt: skip


def _of(edits: Sequence[EditScore], row: str) -> list[EditScore]:
    return [e for e in edits if e.row == row]


def _interval(estimate: Estimate | None) -> Interval:
    assert estimate is not None
    return Interval(estimate.value, estimate.low, estimate.high)


def _table_row(row: EditRow, found: Sequence[Ladder], key: Markup) -> _TableRow:
    papers = tuple(
        _Place(p.estimate, ordinal(ladder, row.row))
        for p, ladder in zip(row.papers, found[:-1], strict=bool(row.papers))
    )
    return _TableRow(row, key, _Place(row.succeeded, ordinal(found[-1], row.row)), papers)


def _lines(prompt: str, pictures: SetPictures, grey: IntensityMap, scale: float) -> list[_Line]:
    """The rows of the figure of a prompt."""
    here = [k for k, a in enumerate(pictures.asked) if a.prompt == prompt][:SHOWN]
    asked = [pictures.asked[k] for k in here]

    def line(name: str, shown: Sequence[Picture], regions: Sequence[np.ndarray | None]) -> _Line:
        images: list[str] = []
        for one, picture, region in zip(asked, shown, regions, strict=True):
            images += [address(picture, grey), png_address(png_bytes(_changes(one.source, picture, region, scale)))]
        return _Line(name, tuple(images))

    nothing = [None] * len(asked)
    lines = [line("before", [a.source for a in asked], nothing)]
    if all(a.truth is not None for a in asked):
        lines.append(line("truth", [a.truth for a in asked if a.truth is not None], [a.changed for a in asked]))
    for name, edits in pictures.edits.items():
        if edits and name not in (IDENTITY, "truth again"):
            lines.append(line(name, [edits[k].picture for k in here], [edits[k].region for k in here]))
    return lines


def _changes(
    before: Picture, after: Picture, region: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None", scale: float
) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """Where an image changed: orange where it became brighter, blue where darker; a line round the region."""
    share = np.clip((after.grey - before.grey) / scale, -1, 1)[..., None]
    shown = _SAME + np.maximum(share, 0) * (_BRIGHTER - _SAME) + np.maximum(-share, 0) * (_DARKER - _SAME)
    if region is not None and region.any() and not region.all():
        shown[region & ~ndimage.binary_erosion(region, np.ones((3, 3)), border_value=1)] = _LINE
    drawn: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = np.rint(shown).astype(np.uint8)
    return drawn


def _figure(pictures: SetPictures, prompt: str) -> "bytes":
    """The images of a prompt, for a paper: a row each for before, truth and every row."""
    here = [k for k, a in enumerate(pictures.asked) if a.prompt == prompt][: 2 * SHOWN]
    asked = [pictures.asked[k] for k in here]
    rows: dict[str, list[Picture]] = {"before": [a.source for a in asked]}
    truths = [a.truth for a in asked if a.truth is not None]
    if len(truths) == len(asked):
        rows["truth"] = truths
    rows |= {name: [edits[k].picture for k in here] for name, edits in pictures.edits.items()
             if edits and name not in (IDENTITY, "truth again")}  # fmt: skip
    grey = grey_scale(rows["before"])
    return png_bytes(specimen_figure(rows, grey, asked[0].source.spacing_um[1], CELL_PX))


def _write_png(data: bytes, path: Path) -> None:
    path.write_bytes(data)
