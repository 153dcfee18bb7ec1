"""The page that a scientist reads after a study: one file, drawn from the records and nothing else.

``index.html`` holds everything that it shows and asks no network for anything; ``study.json`` beside it
holds the records that it was drawn from; ``figures/`` holds the images of each specimen for a paper. Every
number stands in a ``data`` element with its full value, rounded for the eye only.
"""

import base64
import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from morphogen.evaluation.descriptors.descriptor import descriptor
from morphogen.evaluation.records import (
    Comparison,
    Curve,
    Diversity,
    Equivalence,
    Estimate,
    Overlap,
    Reading,
    Score,
    Share,
    Usefulness,
    UsefulnessRow,
)
from morphogen.evaluation.segmentation.segmentation import Segmentation
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.problems import Problem
from morphogen.report import plots
from morphogen.report.equivalence_plot import equivalence_plot, forest_px
from morphogen.report.figures import (
    CLIPPED_PERCENT,
    ScaleBar,
    chosen,
    grey_scale,
    outlined,
    png_bytes,
    scale_bar,
    shades,
    specimen_figure,
)
from morphogen.report.notation import duration, listed, number, rounded
from morphogen.report.study_record import SpecimenRecord, StudyRecord
from morphogen.report.verdict import (
    Interval,
    Verdict,
    floor_in_ratios,
    overall,
    ratio_to_floor,
    reading_interval,
    verdict,
)
from morphogen.specimens.specimen import specimen, specimen_names
from morphogen.whole_files import write_text_whole, write_whole

CROPS_A_ROW = 8
BOTH = "measured + "
"""How rows of usefulness begin that were trained on measured and generated images together."""
CELL_PX = 128
"""A crop is shown at the largest whole multiple of its size up to this, or reduced to it."""
OUTLINE_PX = 128
"""About how wide a crop with outlines is drawn, so that the line is thin."""

CONTROLS = {
    "floor": "Other measured fields of the same kind: how far two measured sets are from each other.",
    "identity": "The measured fields themselves: what perfect copies would score.",
    "noise": "White noise with the measured grey levels: what images without structure score.",
    "another": "Measured fields of another specimen: what a wrong material scores.",
}

DEFINITIONS = {
    "kernel distance": "Squared distance between the mean features of both sets under a polynomial kernel"
    " (maximum mean discrepancy). Unbiased: two samples of one thing are at zero on average, and a value"
    " may be below zero.",
    "Frechet distance": "Squared distance between the normal distributions fitted to the features of both"
    " sets. Biased upwards where fields are few: read it as a ratio to the floor at the same number.",
    "FID": "Frechet distance over the features of the standard Inception network: squared distance between the normal"
    " distributions fitted to the features of both sets. Biased upwards where fields are few: read it as a ratio to"
    " the floor at the same number.",
    "KID": "Kernel distance over the features of the standard Inception network. Unbiased: two samples of one thing are"
    " at zero on average, and a value may be below zero.",
    "precision": "Share of the generated fields that lie among the measured ones in the space of the features.",
    "recall": "Share of the measured fields that lie among the generated ones in the space of the features:"
    " low where part of the variety is missing.",
    "density": "In how many neighbourhoods of measured fields a generated field lies, on average, over what measured"
    " fields would give: 1 for measured ones; low where fields are unrealistic, and above 1 where they crowd the"
    " commonest kind, which is no merit.",
    "coverage": "Share of the measured fields that have a generated one in their neighbourhood: low where part of the"
    " variety is missing. About 0.97 for as many other measured fields.",
    "LPIPS": "Learned perceptual distance between pairs of images of one set: higher means more varied.",
    "SSIM": "Structural similarity between pairs of images of one set: lower means more varied.",
    "MS-SSIM": "Structural similarity over several scales between pairs of images of one set: lower means more varied.",
}


@dataclass(frozen=True, slots=True)
class _Crops:
    """One row of the figure of a specimen."""

    name: str
    title: str  # in words, or empty
    is_main: bool  # measured or a method, not a control
    pictures: tuple[Picture, ...]
    images: tuple[str, ...]  # data: addresses
    of: int


@dataclass(frozen=True, slots=True)
class Exhibits:
    """What a page shows of one specimen beside its image sets.

    Attributes:
        segmentation: how the phase was told; its outlines are drawn on a few crops of each set.
        pairs: for each method its most suspicious images, each beside the training crop that it resembles most.
    """

    segmentation: Segmentation | None = None
    pairs: Mapping[str, Sequence[tuple[Picture, Picture]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Strip:
    """A few images of one set, each as its address."""

    name: str
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Measure:
    """All scores of one measure, as plotted and as a table."""

    name: str
    scores: tuple[Score, ...]
    plot: Markup


@dataclass(frozen=True, slots=True)
class _Section:
    """What the template needs to know of one specimen."""

    record: SpecimenRecord
    anchor: str
    verdict: Verdict
    rows: tuple[_Crops, ...]
    bar: ScaleBar
    bar_percent: float
    grey: IntensityMap
    cell_px: int
    enlarged: bool
    measures: tuple[_Measure, ...]
    curves: tuple[tuple[str, tuple[Markup, ...]], ...]
    reading_plots: tuple[Markup, ...]
    equivalence: Markup | None
    forest_px: int
    tests: tuple[tuple[str, tuple[Equivalence, ...]], ...]
    outlines: tuple[_Strip, ...]
    pairs: tuple[_Strip, ...]
    variety_plots: tuple[Markup, ...]
    usefulness_plots: tuple[Markup, ...]
    training_plots: tuple[Markup, ...]
    keys: Mapping[str, Markup]
    readings: tuple[tuple[str, tuple[Reading, ...]], ...]
    settings: Mapping[str, str]

    @property
    def columns(self) -> int:
        """Crops in the longest row."""
        return max(len(row.images) for row in self.rows)

    @property
    def spacing_known(self) -> bool:
        """Whether the size of a pixel is known."""
        return all(map(math.isfinite, self.record.spacing_um))

    @property
    def comparison(self) -> Comparison:
        """What was found."""
        return self.record.comparison


def write_page(
    record: StudyRecord,
    pictures: Mapping[str, Mapping[str, ImageSet]],
    folder: Path,
    exhibits: Mapping[str, Exhibits] = MappingProxyType({}),
) -> Path:
    """Write ``index.html``, ``study.json`` and ``figures/``.

    Args:
        record: the study.
        pictures: for each specimen by its name, the image sets by the name of their row: "measured", then
            the methods, then any of "another" and "noise".
        folder: where; made where it is missing. What stood there under the same names is replaced.
        exhibits: for each specimen by its name, what else is shown.

    Returns:
        The path of ``index.html``.

    Raises:
        Problem: a specimen or a method has no images, or the folder cannot be written.
    """
    seed = record.recipe.get("seed", 0)
    seed = seed if isinstance(seed, int) and seed >= 0 else 0
    taken: set[str] = set()
    sections = [
        _section(
            *_under_titles(s, _pictures_of(s, pictures), exhibits.get(s.name, Exhibits())),
            seed,
            free_name(s.name, taken),
        )
        for s in record.specimens
    ]
    text = (
        environment()
        .get_template("page.html.j2")
        .render(
            study=record,
            sections=sections,
            overall=overall({s.record.name: s.verdict for s in sections}, record.budget),
            recipe=yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True),
            seed=seed,
            clipped_percent=CLIPPED_PERCENT,
            controls=CONTROLS,
            definitions={name: line for s in record.specimens for name, line in _definitions(s).items()},
        )
    )
    figures = folder / "figures"
    try:
        figures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"{figures} cannot be made ({error.strerror})", do="choose another folder") from None
    for section in sections:
        drawn = specimen_figure(
            {row.name: row.pictures for row in section.rows}, section.grey, section.record.spacing_um[1]
        )
        write_whole(figures / f"{section.anchor}.png", partial(_write_png, drawn))
    write_text_whole(folder / "study.json", record.to_json())
    write_text_whole(folder / "index.html", text)
    return folder / "index.html"


def _pictures_of(record: SpecimenRecord, pictures: Mapping[str, Mapping[str, ImageSet]]) -> Mapping[str, ImageSet]:
    """The sets of one specimen in the order of the rows."""
    given = pictures.get(record.name, {})
    needed = ["measured", *(m.method for m in record.methods if m.method in given or not m.note)]
    missing = [name for name in needed if name not in given]
    if missing:
        raise Problem(f"{record.name}: there are no images of {listed(missing)}", do="give an image set for each row")
    return {name: given[name] for name in [*needed, *(n for n in given if n not in needed)]}


def _under_titles(
    record: SpecimenRecord, pictures: Mapping[str, ImageSet], exhibits: Exhibits
) -> tuple[SpecimenRecord, Mapping[str, ImageSet], Exhibits]:
    """The same findings and images with each method called by its title, and its former name in the title's place.

    A title that is also the name of another set would make one of two, and is not used.
    """
    former = [m.method for m in record.methods]
    others = [name for name in _roles(record) if name not in former]
    times = Counter([*others, *former, *(m.title for m in record.methods if m.title != m.method)])
    titles = {m.method: m.title for m in record.methods if m.title and times[m.title] == 1}

    def called(name: str) -> str:
        return titles.get(name, name)

    comparison = record.comparison
    renamed = {
        kind: tuple(e.model_copy(update={"compared": called(e.compared)}) for e in getattr(comparison, kind))
        for kind in (
            "scores",
            "readings",
            "equivalences",
            "likelihoods",
            "memorisations",
            "curves",
            "diversities",
            "caption_scores",
        )
    }
    renamed["notes"] = tuple(_under_title(note, titles) for note in comparison.notes)
    fingerprints = {called(name): fingerprint for name, fingerprint in comparison.fingerprints.items()}
    methods = []
    for m in record.methods:
        other = m.method if m.method in titles else m.title
        same = other.casefold() == called(m.method).casefold()  # "dcgan" beside "DCGAN" says nothing
        methods.append(m.model_copy(update={"method": called(m.method), "title": "" if same else other}))
    return (
        record.model_copy(
            update={
                "comparison": comparison.model_copy(update={**renamed, "fingerprints": fingerprints}),
                "methods": tuple(methods),
                "usefulness": record.usefulness and _usefulness_under_titles(record.usefulness, called),
            }
        ),
        {called(name): images for name, images in pictures.items()},
        replace(exhibits, pairs={called(name): pairs for name, pairs in exhibits.pairs.items()}),
    )


def _usefulness_under_titles(found: Usefulness, called: Callable[[str], str]) -> Usefulness:
    rows = []
    for row in found.rows:
        both = BOTH if row.trained_on.startswith(BOTH) else ""
        rows.append(row.model_copy(update={"trained_on": both + called(row.trained_on.removeprefix(both))}))
    return found.model_copy(update={"rows": tuple(rows)})


def _under_title(note: str, titles: Mapping[str, str]) -> str:
    """A note on one set begins with its name."""
    name, colon, rest = note.partition(": ")
    return f"{titles.get(name, name)}{colon}{rest}"


def _section(
    record: SpecimenRecord, pictures: Mapping[str, ImageSet], exhibits: Exhibits, seed: int, anchor: str
) -> _Section:
    comparison = record.comparison
    grey = grey_scale(pictures["measured"])
    titles = {m.method: m.title for m in record.methods}
    main = [name for name, role in _roles(record).items() if role in ("measured", "generated")]
    said = verdict(comparison, {m.method: m.note for m in record.methods})
    rows = []
    for name, images in pictures.items():
        crops = chosen(images, CROPS_A_ROW, seed, record.crop_px)
        title = titles.get(name, "")
        addresses = tuple(address(p, grey) for p in crops)
        rows.append(_Crops(name, title, name in main, crops, addresses, len(images)))
    width = rows[0].pictures[0].size[1]
    bar = scale_bar(width, record.spacing_um[1])
    style = plots.styles(_roles(record))
    return _Section(
        record=record,
        anchor=anchor,
        verdict=said,
        rows=tuple(rows),
        bar=bar,
        bar_percent=100 * bar.pixels / width,
        grey=grey,
        cell_px=width * (CELL_PX // width) if width <= CELL_PX else CELL_PX,
        enlarged=width <= CELL_PX,
        measures=tuple(_measures(comparison, style)),
        curves=tuple(_curves(comparison, style)),
        reading_plots=tuple(_reading_plots(comparison, style)),
        equivalence=_equivalence(comparison, style),
        forest_px=forest_px(len({e.compared for e in _forest(comparison)})),
        tests=tuple(
            (name, tuple(e for e in comparison.equivalences if e.descriptor == name))
            for name in dict.fromkeys(e.descriptor for e in comparison.equivalences)
        ),
        outlines=tuple(_outlines([row for row in rows if row.is_main], exhibits.segmentation, grey)),
        pairs=tuple(
            _Strip(name, tuple(address(p, grey) for pair in pairs[: CROPS_A_ROW // 2] for p in pair))
            for name, pairs in exhibits.pairs.items()
        ),
        variety_plots=tuple(_variety_plots(comparison, style)),
        usefulness_plots=tuple(_usefulness_plots(record.usefulness, style)) if record.usefulness else (),
        training_plots=tuple(
            plots.training_plot(m.method, m.curve, style[m.method]) for m in record.methods if m.curve
        ),
        keys={name: plots.key(s) for name, s in style.items()},
        readings=tuple(_readings(comparison, style)),
        settings={m.method: yaml.safe_dump(m.settings, sort_keys=False, allow_unicode=True) for m in record.methods},
    )


def _roles(record: SpecimenRecord) -> dict[str, str]:
    """Every set that is drawn somewhere, with its role: measured, the methods, then the controls."""
    comparison = record.comparison
    order = ("measured", "generated", "another", "noise", "identity", "floor")
    found = {"measured": "measured"} | {m.method: "generated" for m in record.methods}
    entries: tuple[Score | Reading | Equivalence | Diversity | Curve, ...] = (
        *comparison.scores,
        *comparison.readings,
        *comparison.equivalences,
        *comparison.diversities,
        *comparison.curves,
    )
    for entry in sorted(entries, key=lambda e: order.index(e.role)):
        found.setdefault(entry.compared, entry.role)
    return found


def _measures(comparison: Comparison, style: Mapping[str, plots.Style]) -> Iterable[_Measure]:
    """Every measure with a plot of ratios: the floor of each set is the grey box behind it."""
    order = list(style)
    for kind in dict.fromkeys((s.metric, s.features) for s in comparison.scores):
        of_kind = [s for s in comparison.scores if (s.metric, s.features) == kind]
        scores = sorted(of_kind, key=lambda s: order.index(s.compared))
        higher = scores[0].higher_is_better
        rows = [plots.Row(_marked(s), style[s.compared], ratio_to_floor(s), floor_in_ratios(s)) for s in scores]
        axis = "times what measured sets reach, higher is closer" if higher else "times the floor, lower is closer"
        plot = plots.interval_plot(kind[0], rows, axis=axis, subtitle=kind[1], logarithmic=not higher, line=1.0)
        yield _Measure(" over ".join(filter(None, kind)), tuple(scores), plot)


def _marked(found: Score | Diversity) -> str:
    """The name of a set, with a mark where its method was trained to please the features that are read."""
    return f"{found.compared} †" if found.trained_through else found.compared


def _curves(comparison: Comparison, style: Mapping[str, plots.Style]) -> Iterable[tuple[str, tuple[Markup, ...]]]:
    """For every function, a panel a set with the measured curve behind it, all on one axis."""
    order = list(style)
    for name in dict.fromkeys(c.descriptor for c in comparison.curves):
        curves = [c for c in comparison.curves if c.descriptor == name and c.x]
        measured = next((c for c in curves if c.role == "measured"), None)
        shown = sorted(
            (c for c in curves if c.role not in ("measured", "identity")),
            key=lambda c: order.index(c.compared),
        )
        top = 1.06 * max((max(c.high) for c in curves), default=1.0)
        yield (
            name,
            tuple(plots.curve_plot(c.compared, c, measured, style[c.compared], top) for c in shown or curves),
        )


def _reading_plots(comparison: Comparison, style: Mapping[str, plots.Style]) -> Iterable[Markup]:
    order = list(style)
    for name in dict.fromkeys(r.descriptor for r in comparison.readings):
        readings = sorted(
            (r for r in comparison.readings if r.descriptor == name and r.mean is not None),
            key=lambda r: order.index(r.compared),
        )
        if not readings:
            continue
        rows = [plots.Row(r.compared, style[r.compared], reading_interval(r)) for r in readings]
        band = next((row.interval for row, r in zip(rows, readings, strict=True) if r.role == "measured"), None)
        unit = readings[0].unit
        yield plots.interval_plot(name, rows, axis=f"{name} ({unit})" if unit else name, band=band)


def _equivalence(comparison: Comparison, style: Mapping[str, plots.Style]) -> Markup | None:
    """The forest plot of the generated sets, and of the other specimen where there is one."""
    shown = _forest(comparison)
    return equivalence_plot(shown, style) if shown else None


def _forest(comparison: Comparison) -> list[Equivalence]:
    return [e for e in comparison.equivalences if e.role in ("generated", "another")]


def _outlines(rows: Sequence[_Crops], segmentation: Segmentation | None, grey: IntensityMap) -> Iterable[_Strip]:
    """Half a row of crops of each set, each followed by itself with the outline of its phase."""
    if segmentation is None:
        return
    for row in rows:
        images = []
        for picture in row.pictures[: CROPS_A_ROW // 2]:
            factor = max(1, round(OUTLINE_PX / picture.size[1]))
            drawn = outlined(picture, segmentation.phase(picture), grey, factor)
            images += [address(picture, grey), png_address(png_bytes(drawn))]
        yield _Strip(row.name, tuple(images))


def _variety_plots(comparison: Comparison, style: Mapping[str, plots.Style]) -> Iterable[Markup]:
    order = list(style)
    for metric in dict.fromkeys(d.metric for d in comparison.diversities):
        found = sorted((d for d in comparison.diversities if d.metric == metric), key=lambda d: order.index(d.compared))
        rows = [
            plots.Row(_marked(d), style[d.compared], Interval(d.estimate.value, d.estimate.low, d.estimate.high))
            for d in found
        ]
        band = next((row.interval for row, d in zip(rows, found, strict=True) if d.role == "measured"), None)
        way = "higher" if found[0].higher_is_more_diverse else "lower"
        yield plots.interval_plot(metric, rows, axis=f"between pairs of one set, {way} is more varied", band=band)


def _usefulness_plots(found: Usefulness, style: Mapping[str, plots.Style]) -> Iterable[Markup]:
    """Dice and IoU of every row; a row of measured and generated images together is hollow."""
    plain = style["measured"]

    def row(of: UsefulnessRow, overlap: Overlap) -> plots.Row:
        together = of.trained_on.startswith(BOTH)
        drawn = style.get(of.trained_on.removeprefix(BOTH), plain)
        if together:
            drawn = replace(drawn, filled=False)
        return plots.Row(of.trained_on, drawn, Interval(overlap.value, overlap.low, overlap.high))

    for name, overlaps in (("Dice", [r.dice for r in found.rows]), ("IoU", [r.iou for r in found.rows])):
        rows = [row(of, overlap) for of, overlap in zip(found.rows, overlaps, strict=True)]
        band = next((r.interval for r in rows if r.name == "measured"), None)
        yield plots.interval_plot(name, rows, axis="overlap with the true masks, higher is better", band=band)
    above = [(r, r.dice_above_measured) for r in found.rows if r.dice_above_measured is not None and r.dice.n_seeds]
    rows = [row(of, overlap) for of, overlap in above]
    axis = "difference, seed by seed and specimen by specimen"
    yield plots.interval_plot("Dice above measured images", rows, axis=axis, line=0.0)


def _readings(comparison: Comparison, style: Mapping[str, plots.Style]) -> Iterable[tuple[str, tuple[Reading, ...]]]:
    """The readings of each descriptor under its name in the field, in the order of the sets."""
    order = list(style)
    for name in dict.fromkeys(r.descriptor for r in comparison.readings):
        of_name = (r for r in comparison.readings if r.descriptor == name)
        yield (
            name,
            tuple(sorted(of_name, key=lambda r: order.index(r.compared))),
        )


def _definitions(record: SpecimenRecord) -> dict[str, str]:
    """One line for every measure and descriptor that occurs."""
    comparison = record.comparison
    used = {s.metric for s in comparison.scores} | {d.metric.split(" (")[0] for d in comparison.diversities}
    found = {name: line for name, line in DEFINITIONS.items() if name in used}
    if record.kind in specimen_names():
        kind = specimen(record.kind)
        for name in kind.descriptors:
            known = descriptor(name)
            found[kind.fraction if name == "phase_fraction" else known.name] = known.definition
    return found


def address(picture: Picture, grey: IntensityMap) -> str:
    """The picture as an address that holds the picture itself."""
    return png_address(png_bytes(shades(picture, grey)))


def png_address(png: bytes) -> str:
    """A PNG file as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def free_name(name: str, taken: set[str]) -> str:
    """A name that can stand in an address and as a file, and is not taken yet."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "specimen"
    candidates = itertools.chain([plain], (f"{plain}-{k}" for k in itertools.count(2)))
    free = next(candidate for candidate in candidates if candidate not in taken)
    taken.add(free)
    return free


def _write_png(image: Image.Image, path: Path) -> None:
    path.write_bytes(png_bytes(image))


def environment() -> Environment:
    """Templates of this package, with numbers, estimates and durations as filters."""
    made = Environment(
        loader=PackageLoader("morphogen.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "estimate": _estimate_html,
        "number": _number_html,
        "duration": _duration_html,
        "listed": listed,
    }
    made.globals |= {
        "ratio": ratio_to_floor,
        "floor": floor_in_ratios,
        "interval_of": reading_interval,
        "interval": Interval,
    }
    return made


def _datum(value: float, shown: str) -> Markup:
    """A number for the eye, with its full value for whoever reads the page by program."""
    return Markup('<data value="{}">{}</data>').format(repr(value), shown)


def _estimate_html(estimate: Estimate | Interval | Share) -> Markup:
    """A value and its interval in two cells' worth of one."""
    text = rounded(estimate.value, estimate.low, estimate.high)
    return Markup('{} <span class="interval">[{}, {}]</span>{}').format(
        _datum(estimate.value, text.value),
        _datum(estimate.low, text.low),
        _datum(estimate.high, text.high),
        text.power,
    )


def _number_html(value: float | None) -> Markup:
    return Markup("–") if value is None else _datum(value, number(value))


def _duration_html(seconds: float) -> Markup:
    return _datum(seconds, duration(seconds))
