"""The figure of an audit: every metric against every defect, in one matrix.

A cell is a square cut by its diagonal: above it what the metric sees with few images, below with many. The darker, the
smaller the damage that it tells from the floor; an empty triangle sees nothing. A vermilion square in the middle says
that the metric rewards the damage. At the right stand changes that carry no physics: there a metric should stay quiet,
and an orange triangle is a false alarm. The bars count how many defects a metric sees at their smallest severity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from morphogen.audit.records import Audit, DefectRecord, Family, MetricRecord
from morphogen.report.drawing import INK, MUTED, RC, RULE, SEEN, SERIES, Colour, on_paper, png, svg
from morphogen.report.notation import number

_LABELS, _CELL, _GAP, _BARS, _FOOT = 246.0, 20.0, 10.0, 96.0, 74.0  # points
_REWARDED, _ALARM = SERIES[1], SERIES[4]
_FAMILIES: dict[Family, str] = {
    "paired similarity": "Similarity of pairs",
    "set distance": "Distances between sets",
    "diversity": "Diversity within a set",
    "memorisation": "Memorisation",
    "caption score": "Images and captions",
    "descriptor": "Descriptors",
}


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where rows and columns stand, in points from the top left of the matrix."""

    columns: dict[str, float]
    rows: dict[str, float]
    headings: dict[str, float]
    width: float
    height: float


def audit_figure(audit: Audit) -> Markup:
    """The matrix as an element of a page, in the page's colours."""
    with rc_context(RC):
        return svg(_draw(audit, lambda colour: colour), _spoken(audit))


def audit_png(audit: Audit, *, brief: bool = False) -> bytes:
    """The matrix as a PNG file, on white.

    Args:
        audit: what was found.
        brief: leave out descriptors that see the smallest damage of no kind with few images.
    """
    if brief:
        n = audit.sizes[0]
        seen = {name for spot in audit.who_sees(n) for name in spot.seen_by}
        kept = tuple(m for m in audit.metrics if m.family != "descriptor" or m.name in seen)
        audit = audit.model_copy(update={"metrics": kept})
    colours = {name: on_paper(value) if value in (INK, MUTED) else value for name, value in RC.items()}
    with rc_context(colours):
        return png(_draw(audit, on_paper))


def _draw(audit: Audit, colour: Callable[[Colour], Colour]) -> Figure:
    layout = _layout(audit.metrics, audit.defects)
    width = _LABELS + layout.width + _BARS
    head = 20 + 4.6 * max(len(_title(defect)) for defect in audit.defects)  # they stand aslant
    height = head + layout.height + _FOOT
    figure = Figure(figsize=(width / 72, height / 72))
    figure.patch.set_visible(False)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-_LABELS, layout.width + _BARS)
    axes.set_ylim(layout.height + _FOOT, -head)
    rewarded = {(metric, spot.defect) for spot in audit.who_sees() for metric in spot.rewarded_by}
    for defect in audit.defects:
        _head(axes, defect, layout, colour)
    for family, top in layout.headings.items():
        axes.text(-_LABELS + 4, top, family, va="center", weight="bold", fontsize=10.5, color=colour(INK))
    for metric in audit.metrics:
        top = layout.rows[metric.name]
        axes.text(
            -8, top + _CELL / 2, short_name(metric.name), ha="right", va="center", fontsize=9.5,
            color=colour(INK), weight="bold" if metric.standard else "normal",
        )  # fmt: skip
        for defect in audit.defects:
            _cell(axes, audit, metric, defect, (layout.columns[defect.name], top), colour)
            if (metric.name, defect.name) in rewarded:
                _square(axes, (layout.columns[defect.name], top), colour(_REWARDED))
    _bars(axes, audit, layout, colour)
    _legend(axes, audit, layout, colour)
    return figure


def _layout(metrics: Sequence[MetricRecord], defects: Sequence[DefectRecord]) -> _Layout:
    columns, left = {}, 0.0
    for before, defect in zip([None, *defects], defects, strict=False):
        left += _GAP * 1.6 if before is not None and before.harmless != defect.harmless else 0.0
        columns[defect.name] = left
        left += _CELL
    rows, headings, top = {}, {}, 0.0
    for family, title in _FAMILIES.items():
        members = [m for m in metrics if m.family == family]
        if members:
            headings[title] = top + _CELL / 2
            top += _CELL
        for metric in members:
            rows[metric.name] = top
            top += _CELL
        top += _GAP if members else 0.0
    return _Layout(columns, rows, headings, left, top)


def _head(axes: Axes, defect: DefectRecord, layout: _Layout, colour: Callable[[Colour], Colour]) -> None:
    """Name and severities of a column, aslant."""
    axes.text(
        layout.columns[defect.name] + _CELL / 2, -5, _title(defect), rotation=58, rotation_mode="anchor",
        ha="left", va="center", fontsize=9, color=colour(INK),
    )  # fmt: skip


def _title(defect: DefectRecord) -> str:
    """Name and severities; what the severities are a share of, the page says."""
    unit = defect.unit.split(" ")[0]
    return f"{defect.name}  {', '.join(map(number, defect.severities))} {'' if unit.isdigit() else unit}".rstrip()


def _cell(
    axes: Axes,
    audit: Audit,
    metric: MetricRecord,
    defect: DefectRecord,
    corner: tuple[float, float],
    colour: Callable[[Colour], Colour],
) -> None:
    x, y = corner[0] + 1, corner[1] + 1
    side = _CELL - 2
    few, many = audit.sizes[0], audit.sizes[-1]
    whole = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
    fills = [_fill(audit, metric, defect, n) for n in (few, many)]
    halves = [(fills[0], whole)] if fills[0] == fills[1] else [(fills[0], whole[:2] + whole[3:]), (fills[1], whole[1:])]
    for fill, points in halves:
        if fill is not None:
            axes.add_patch(Polygon(points, closed=True, facecolor=colour(fill), edgecolor="none", zorder=2))
    axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=colour(RULE), linewidth=0.7, zorder=3))


def _fill(audit: Audit, metric: MetricRecord, defect: DefectRecord, n: int) -> Colour | None:
    """The shade of what a metric sees; None where it sees nothing or, of a harmless change, stays quiet."""
    if defect.harmless:
        return None if audit.quiet(metric.name, defect.name, n) else _ALARM
    seen = audit.cell(metric.name, defect.name).at_size(n).smallest_seen
    if seen is None:
        return None
    rank = defect.severities.index(seen)  # 0: the smallest
    of = max(1, len(defect.severities) - 1)
    return SEEN[len(SEEN) - 1 - round(rank * (len(SEEN) - 1) / of)]


def _square(axes: Axes, corner: tuple[float, float], colour: Colour) -> None:
    side = _CELL * 0.36
    middle = (corner[0] + (_CELL - side) / 2, corner[1] + (_CELL - side) / 2)
    axes.add_patch(Rectangle(middle, side, side, facecolor=colour, edgecolor="white", linewidth=0.6, zorder=4))


def _bars(axes: Axes, audit: Audit, layout: _Layout, colour: Callable[[Colour], Colour]) -> None:
    """How many defects a metric sees at their smallest severity, with few images."""
    real = [d for d in audit.defects if not d.harmless]
    left, room = layout.width + 12, _BARS - 40
    axes.text(
        left, -6, f"sees the smallest\nof {len(real)}", fontsize=8, color=colour(MUTED), va="bottom", linespacing=1.3
    )
    for metric in audit.metrics:
        found = [audit.cell(metric.name, d.name).at_size(audit.sizes[0]).smallest_seen == d.severities[0] for d in real]
        top, count = layout.rows[metric.name], sum(found)
        axes.add_patch(
            Rectangle((left, top + 5), room * count / len(real), _CELL - 10, facecolor=colour(SEEN[3]), zorder=2)
        )
        axes.text(
            left + room * count / len(real) + 4, top + _CELL / 2, str(count), fontsize=8, va="center", color=colour(INK)
        )


def _legend(axes: Axes, audit: Audit, layout: _Layout, colour: Callable[[Colour], Colour]) -> None:
    left, top = -_LABELS + 4, layout.height + 10
    x = left
    for fill, words in (
        (SEEN[3], "sees the smallest damage"),
        (SEEN[1], "more of it"),
        (SEEN[0], "the gravest"),
        (None, "none"),
    ):
        _sample(axes, (x, top), fill, words, colour)
        x += 34 + 4.7 * len(words)
    few, many = audit.sizes[0], audit.sizes[-1]
    if few != many:
        axes.text(
            x, top + 6, f"upper left: {few} images, lower right: {many}", fontsize=8.5, va="center", color=colour(INK)
        )
    top += 20
    _square(axes, (left - 4, top - 4), colour(_REWARDED))
    axes.text(left + 17, top + 6, "calls the damaged images better", fontsize=8.5, va="center", color=colour(INK))
    _sample(axes, (left + 190, top), _ALARM, "false alarm at a change without physics", colour)
    bold = "In bold: what papers report. Figures in column heads: severities of the damage."
    axes.text(left, top + 27, bold, fontsize=8.5, va="center", color=colour(MUTED))


def _sample(
    axes: Axes, corner: tuple[float, float], fill: Colour | None, words: str, colour: Callable[[Colour], Colour]
) -> None:
    face = colour(fill) if fill else "none"
    axes.add_patch(Rectangle(corner, 12, 12, facecolor=face, edgecolor=colour(RULE), linewidth=0.7))
    axes.text(corner[0] + 17, corner[1] + 6, words, fontsize=8.5, va="center", color=colour(INK))


def short_name(metric: str) -> str:
    """The name of a metric without the layer and the resize, which the records have."""
    return metric.replace(", no resize", "").replace(" relu5_3 mean", "")


def _spoken(audit: Audit) -> str:
    """The figure for a reader who does not see it."""
    return f"Metrics against defects of {audit.kind}. " + " ".join(
        f"{spot.defect}, {number(spot.severity)}: seen by {len(spot.seen_by)} descriptors, missed by"
        f" {', '.join(spot.missed_by) or 'no standard metric'}."
        for spot in audit.who_sees()
    )
