"""The card of an image set as a page: one file, drawn from the card and the images.

``index.html`` holds everything that it shows and asks no network for anything; ``card.json`` beside it is the record.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image, ImageDraw

import morphogen
from morphogen.evaluation.nearest_training import turned
from morphogen.images.image_set import ImageSet
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Picture
from morphogen.report.advice import advised_crop, fields_of, leaks_in_words
from morphogen.report.card import ArtefactFact, Card, CorrelationFact, Fact, PairFact
from morphogen.report.card_terminal import (
    artefact_in_words,
    artefacts_in_words,
    correlation_in_words,
    duplicates_in_words,
    leak_line,
    pair_in_words,
    rows,
)
from morphogen.report.describe import spread
from morphogen.report.drawing import INK, MUTED, RC, SERIES, SHADE, canvas, svg
from morphogen.report.figures import ScaleBar, grey_scale, png_bytes, scale_bar, shades
from morphogen.report.notation import number
from morphogen.report.page import environment, png_address
from morphogen.whole_files import new_folder, write_text_whole

TILES = 24
TILE_PX = 176
"""About how wide an image stands on the page."""
SHOWN_PAIRS = 6
SHOWN_ARTEFACTS = 6
_WIDTH = 372.0
_CHANNELS = {"grey": INK, "red": SERIES[1], "green": SERIES[2], "blue": SERIES[0]}
_SLIM = (168.0, 30.0)


@dataclass(frozen=True, slots=True)
class _Tile:
    image: str
    name: str


@dataclass(frozen=True, slots=True)
class _Pair:
    first: str
    second: str
    words: str
    rest: float | None


@dataclass(frozen=True, slots=True)
class _Row:
    fact: Fact
    plot: Markup


def write_card_page(
    card: Card, images: ImageSet, folder: Path, *, against: ImageSet | None = None, command: str = ""
) -> Path:
    """Write ``index.html`` and ``card.json`` into a new folder.

    Args:
        card: what was found.
        images: the set, of which some are shown.
        folder: where; made where it is missing.
        against: the other set, of the card's leaks.
        command: the command that was typed.

    Returns:
        The path of ``index.html``.

    Raises:
        Problem: the folder is not empty or cannot be made.
    """
    new_folder(folder, "the page")
    chosen = spread(len(images), TILES)
    first = [images[i] for i in chosen[:1]]
    grey = grey_scale([_reduced(images[i]) for i in spread(len(images), 12)])
    tiles = [_Tile(_address(images[i], grey), _short(card, images[i], i)) for i in chosen]
    text = (
        environment()
        .get_template("card.html.j2")
        .render(
            card=card,
            version=morphogen.__version__,
            title=f"What is in {Path(card.name).name or card.name}",
            lead=lead(card),
            rows=rows(card)[1:],
            tiles=tiles,
            bar=_bar(first[0]),
            tile_px=TILE_PX,
            grey=grey,
            histogram=histogram_plot(card),
            correlations=[correlation_plot(c) for c in card.correlations],
            slices=slices_plot(card) if card.slices is not None else None,
            facts=[_Row(f, spread_plot(f)) for f in card.facts if f.fields],
            unread={
                f.invalid: [g.name for g in card.facts if not g.fields and g.invalid == f.invalid]
                for f in card.facts
                if not f.fields
            },
            pairs=[_pair(p, images, images, grey) for p in card.near[:SHOWN_PAIRS]],
            leaked=[_pair(p, images, against, grey) for p in (card.leaks.near if card.leaks else ())[:SHOWN_PAIRS]]
            if against is not None
            else [],
            leak_line=leak_line(card),
            leaks_in_words=leaks_in_words(card),
            duplicates=duplicates_in_words(card),
            artefacts_line=artefacts_in_words(card),
            artefacts=[_artefact(a, images, grey) for a in _one_an_image(card)],
            correlation_in_words=correlation_in_words,
            command=command,
        )
    )
    write_text_whole(folder / "card.json", card.model_dump_json(indent=1))
    write_text_whole(folder / "index.html", text)
    return folder / "index.html"


def lead(card: Card) -> str:
    """The gist in a few sentences."""
    crop = advised_crop(card)
    independent = fields_of(card, crop)
    side = f"{crop.side} × {crop.side} pixels" + (f", {crop.shrink} times smaller" if crop.shrink > 1 else "")
    images = f"{card.images} image{'s' * (card.images != 1)}"
    specimens = f"{card.specimens} specimen{'s' * (card.specimens != 1)}"
    room = number(float(f"{independent:.2g}"))
    text = f"{images} of {specimens}, with room for about {room} independent fields of {side}."
    warnings = [a.about for a in card.advice if a.warning]
    if warnings:
        text += f" To look at first: {', '.join(warnings)}."
    else:
        text += " Nothing was found that has to be put right before training."
    return text


def histogram_plot(card: Card) -> Markup:
    """The grey levels of all images, a line a channel."""
    height = 190.0
    with rc_context(RC):
        figure, axes = canvas(_WIDTH, height, left=46, right=12, top=26, bottom=36)
        figure.text(0, 1 - 10 / height, "Grey levels", va="center", weight="bold", fontsize=11)
        for turn, h in enumerate(card.histograms):
            edges = np.linspace(h.low, h.high, len(h.counts) + 1)
            density = 100 * np.array(h.counts) / max(1, sum(h.counts))
            colour = _CHANNELS.get(h.channel, SERIES[turn % len(SERIES)])
            if len(card.histograms) == 1:
                axes.stairs(density, edges, fill=True, color=SHADE)
            axes.stairs(density, edges, color=colour, linewidth=1.3, label=h.channel)
        axes.set_xlim(card.histograms[0].low, card.histograms[0].high)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"grey level ({card.pixel_type})", labelpad=3)
        axes.set_ylabel("% of the pixels a bin", labelpad=4)
        if len(card.histograms) > 1:
            axes.legend(frameon=False, fontsize=9.5, labelcolor=INK)
        _plain(axes)
        return svg(figure, "Histogram of the grey levels of all images that were looked at.")


def correlation_plot(c: CorrelationFact) -> Markup:
    """The autocovariance over the lag, with the correlation length."""
    height = 190.0
    scale, unit = (c.pixel_um, "µm") if c.pixel_um is not None else (1.0, "px")
    lags = np.array(c.lags) * scale
    shown = lags <= (min(lags[-1], 8 * c.length_px * scale) if c.length_px else lags[-1])
    shown[: min(len(lags), 12)] = True
    with rc_context(RC):
        figure, axes = canvas(_WIDTH, height, left=46, right=12, top=26, bottom=36)
        figure.text(0, 1 - 10 / height, f"How far the {c.of} reach", va="center", weight="bold", fontsize=11)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.fill_between(
            lags[shown], np.array(c.low)[shown], np.array(c.high)[shown], color=SERIES[0], alpha=0.2, lw=0
        )
        axes.plot(lags[shown], np.array(c.mean)[shown], color=SERIES[0], linewidth=1.5)
        if c.length_px is not None:
            at = c.length_px * scale
            axes.plot([at, at], [axes.get_ylim()[0], 1 / np.e], color=INK, linewidth=0.9, linestyle=(0, (3, 2)))
            axes.plot([at], [1 / np.e], "o", color=INK, markersize=4.5)
            axes.annotate(
                f"1/e at {number(float(f'{at:.3g}'))} {unit}", (at, 1 / np.e), (6, 4), textcoords="offset points",
                fontsize=9.5, color=INK,
            )  # fmt: skip
        axes.set_xlim(0, lags[shown][-1])
        axes.set_ylim(top=1.02)
        axes.set_xlabel(f"lag ({unit})", labelpad=3)
        axes.set_ylabel("autocovariance", labelpad=4)
        _plain(axes)
        return svg(figure, correlation_in_words(c))


def slices_plot(card: Card) -> Markup:
    """The correlation of slices over their distance."""
    s, height = card.slices, 190.0
    assert s is not None
    with rc_context(RC):
        figure, axes = canvas(_WIDTH, height, left=46, right=12, top=26, bottom=36)
        figure.text(0, 1 - 10 / height, "How alike slices are", va="center", weight="bold", fontsize=11)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.plot([0, *s.apart], [1, *s.correlation], "o-", color=SERIES[0], linewidth=1.3, markersize=4)
        axes.set_xlim(0, s.apart[-1])
        axes.set_ylim(top=1.02)
        axes.set_xlabel("slices apart", labelpad=3)
        axes.set_ylabel("correlation", labelpad=4)
        _plain(axes)
        return svg(figure, f"Correlation of two slices over their distance; about {s.alike:.1f} slices stand for one.")


def spread_plot(fact: Fact) -> Markup:
    """The values of all fields as a strip of ticks, with their mean."""
    width, height = _SLIM
    values = np.array(fact.values)
    if len(values) < 2 or float(np.ptp(values)) == 0:
        return Markup("")
    with rc_context(RC):
        figure, axes = canvas(width, height, left=4, right=4, top=2, bottom=2)
        axes.set_axis_off()
        low, high = float(values.min()), float(values.max())
        counts, edges = np.histogram(values, 24, (low, high))
        axes.stairs(counts, edges, fill=True, color=SERIES[0], alpha=0.55)
        axes.axvline(float(values.mean()), color=INK, linewidth=1.2)
        axes.set_xlim(low, high)
        axes.set_ylim(0, counts.max())
        spoken = (
            f"{fact.name} of {fact.fields} fields, from {number(float(f'{low:.3g}'))} to {number(float(f'{high:.3g}'))}"
        )
        return svg(figure, spoken)


def _plain(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5 if axis is axes.xaxis else 4))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def _reduced(picture: Picture) -> Picture:
    """Every k-th pixel of a large picture, enough for a grey scale."""
    step = max(1, max(picture.size) // 512)
    return replace(picture, pixels=picture.pixels[:, ::step, ::step], mask=None)


def _shown(picture: Picture, grey: IntensityMap, times: int = 2) -> Image.Image:
    """As large as so many tiles: small pictures enlarged by a whole factor, large ones made smaller by a mean."""
    image = Image.fromarray(shades(picture, grey))
    longest = max(image.size)
    if longest <= TILE_PX:
        factor = TILE_PX // longest
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    scale = min(1.0, TILE_PX * times / longest)
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BOX)


def _address(picture: Picture, grey: IntensityMap) -> str:
    return png_address(png_bytes(_shown(picture, grey, 1 if picture.channels > 1 else 2)))


def _short(card: Card, picture: Picture, number_: int) -> str:
    origin = picture.origin
    if origin.slice is not None:
        return f"slice {origin.slice}"
    return str(picture.labels.get("file", "")) or origin.source or f"image {number_}"


def _bar(picture: Picture) -> tuple[ScaleBar, float]:
    """The scale bar under the first tile, and its share of the tile's width in percent."""
    width = picture.size[1]
    bar = scale_bar(width, picture.spacing_um[1])
    return bar, 100 * bar.pixels / width


def _pair(pair: PairFact, images: ImageSet, other: ImageSet, grey: IntensityMap) -> _Pair:
    """Both images with what they share outlined, the second laid as the first lies."""
    one, two = images[pair.first], other[pair.second]
    two = replace(two, pixels=np.ascontiguousarray(turned(two.pixels, pair.turns, pair.mirrored)), mask=None)
    top, left = max(0, pair.down), max(0, pair.right)
    bottom = min(one.size[0], pair.down + two.size[0])
    right = min(one.size[1], pair.right + two.size[1])
    boxes = ((left, top, right, bottom), (left - pair.right, top - pair.down, right - pair.right, bottom - pair.down))
    drawn = [png_address(png_bytes(_outlined(p, box, grey))) for p, box in zip((one, two), boxes, strict=True)]
    return _Pair(drawn[0], drawn[1], pair_in_words(pair), pair.residual)


def _outlined(picture: Picture, box: tuple[int, int, int, int], grey: IntensityMap) -> Image.Image:
    shown = _shown(picture, grey).convert("RGB")
    scale = shown.width / picture.size[1]
    left, top, right, bottom = (round(n * scale) for n in box)
    ImageDraw.Draw(shown).rectangle((left, top, right - 1, bottom - 1), outline=(255, 140, 0), width=2)
    return shown


def _one_an_image(card: Card) -> list[ArtefactFact]:
    """The most striking artefact of each image, of the most striking images."""
    found: dict[int, ArtefactFact] = {}
    for a in sorted(card.artefacts, key=lambda a: -abs(a.score)):
        found.setdefault(a.image, a)
    return list(found.values())[:SHOWN_ARTEFACTS]


def _artefact(a: ArtefactFact, images: ImageSet, grey: IntensityMap) -> _Tile:
    """The image with short marks where the artefact lies, outside of what is to be seen."""
    picture = images[a.image]
    shown = _shown(picture, grey).convert("RGB")
    scale, draw = shown.width / picture.size[1], ImageDraw.Draw(shown)
    at, colour, tick = a.place * scale, (255, 140, 0), max(8, shown.width // 14)
    if a.kind == "row":
        for x in ((0, tick), (shown.width - tick, shown.width)):
            draw.line((x[0], at, x[1], at), fill=colour, width=2)
    elif a.kind == "column":
        for y in ((0, tick), (shown.height - tick, shown.height)):
            draw.line((at, y[0], at, y[1]), fill=colour, width=2)
    else:
        cx, cy = (shown.width - 1) / 2, (shown.height - 1) / 2
        for start in (0, 90, 180, 270):
            draw.arc((cx - at, cy - at, cx + at, cy + at), start - 8, start + 8, fill=colour, width=2)
    return _Tile(png_address(png_bytes(shown)), artefact_in_words(a))
