"""What a comparison found, for a terminal: tables a hundred columns wide, then the findings in words."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from morphogen.evaluation.asked import AskedAndGiven
from morphogen.evaluation.paired import PairedScore, paired_summary
from morphogen.evaluation.records import (
    CaptionRetrieval,
    CaptionScore,
    Classification,
    Comparison,
    Diversity,
    Equivalence,
    Estimate,
    Likeness,
    Score,
    Usefulness,
)
from morphogen.report.editing_page import headline, ladders, percent
from morphogen.report.editing_plots import ordinal
from morphogen.report.editing_record import EditingRecord
from morphogen.report.notation import number, rounded
from morphogen.report.verdict import Interval, ratio_to_floor, reading_interval, verdict

_NAME, _ROLE, _RATIO, _VALUE, _FLOOR, _COUNT = 18, 9, 19, 26, 11, 7  # columns of a table, in characters
_MEAN = 16
_LONG_NAME = 32  # where there is no column of the floor
_THROUGH = " †"
_NO_EVIDENCE = "† trained through these features: what pleases them is no evidence, and the verdict leaves it out."


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print scores, readings, variety and the verdict of one comparison.

    Args:
        comparison: what was found.
        console: where to.
    """
    height, width = comparison.field_px
    _heading(console, f"{comparison.specimen}: fields of {height} × {width} px, phase {comparison.phase}")
    for metric, features in dict.fromkeys((s.metric, s.features) for s in comparison.scores):
        scores = [s for s in comparison.scores if (s.metric, s.features) == (metric, features)]
        console.print(_scores(f"{metric} over {features}" if features else metric, scores))
        if any(s.trained_through for s in scores):
            _item(console, _NO_EVIDENCE)
    console.print(_physics(comparison))
    _item(console, "= equivalent within the margin of the specimen; ≠ different by more; ? these fields cannot decide;")
    _item(console, "~ the spread between fields differs.")
    for metric in dict.fromkeys(d.metric for d in comparison.diversities):
        diversities = [d for d in comparison.diversities if d.metric == metric]
        console.print(_diversities(diversities))
        if any(d.trained_through for d in diversities):
            _item(console, _NO_EVIDENCE)
    for model in dict.fromkeys(s.model for s in comparison.caption_scores):
        console.print(_caption_scores([s for s in comparison.caption_scores if s.model == model]))
    _heading(console, "In words")
    for sentence in verdict(comparison).sentences:
        _item(console, sentence.text)
    if comparison.notes:
        _heading(console, "Notes")
        for note in comparison.notes:
            _item(console, note)
    _heading(console, "How to read this")
    _item(
        console,
        "Brackets hold 95 % intervals. The column floor holds what two sets of measured fields score against each"
        " other at the same numbers of fields, and a ratio of 1 is the size of that. Identity, noise and another"
        " specimen are controls.",
    )
    _item(
        console,
        "The interval of a ratio takes the size of the floor as known. How uncertain the floor itself is stands in"
        " the row floor.",
    )


def print_usefulness(found: Usefulness, console: Console) -> None:
    """Print what generated images are worth for training a segmentation network.

    Args:
        found: the records.
        console: where to.
    """
    table = _table(f"Usefulness: {found.network}, {found.images_seen} crops, {len(found.seeds)} trainings a row")
    table.add_column("trained on", width=_NAME, overflow="fold")
    for name in ("Dice", "IoU", "Dice above measured"):
        table.add_column(name, overflow="fold")
    for row in found.rows:
        overlaps = (row.dice, row.iou, row.dice_above_measured)
        table.add_row(
            Text(row.trained_on), *("" if o is None else _numbers(Interval(o.value, o.low, o.high)) for o in overlaps)
        )
    console.print(table)
    for note in found.notes:
        _item(console, note)


def print_asked(found: Sequence[AskedAndGiven], console: Console) -> None:
    """Print what was asked and what was given, a line a condition.

    Args:
        found: the records.
        console: where to.
    """
    table = _table("Given against asked")
    for name, width in (("condition", _NAME), ("R²", _VALUE), ("mean error", _VALUE), ("bias", _VALUE)):
        table.add_column(name, width=width, overflow="fold")
    table.add_column("images", justify="right", no_wrap=True)
    for one in found:
        estimates = (one.r2, one.mean_absolute_error, one.bias)
        table.add_row(
            Text(f"{one.name} ({one.unit})" if one.unit else one.name),
            *("–" if e is None else _numbers(Interval(e.value, e.low, e.high)) for e in estimates),
            str(one.n),
        )
    console.print(table)
    _item(console, f"Pixels {found[0].segmentation}. R² is about the line given = asked; brackets hold 95 % intervals.")
    for one in found:
        ranges = [f"{one.name}: asked {number(min(one.asked))} to {number(max(one.asked))}"]
        ranges += [f"training saw {number(one.seen[0])} to {number(one.seen[1])}"] if one.seen else []
        if one.measured_range is not None:
            ranges.append(f"measured fields show {number(one.measured_range[0])} to {number(one.measured_range[1])}")
        _item(console, "; ".join(ranges) + ".")
        if one.outside_asked:
            beyond = len(one.outside_asked)
            _item(console, f"{beyond} images were asked for more than training saw, and are not scored.")
        if one.n_invalid:
            _item(console, f"{one.n_invalid} images don't have the reading: {one.invalid}.")


def print_pairs(pairs: Sequence[PairedScore], console: Console) -> None:
    """Print every pair, and the means over all where there are two or more.

    Args:
        pairs: scores of images that belong together.
        console: where to.
    """
    names = list(dict.fromkeys(p.pair for p in pairs))
    metrics = list(dict.fromkeys(p.metric for p in pairs))
    found = {(p.pair, p.metric): p.value for p in pairs}
    each = _table("Each pair")
    each.add_column("pair", width=_LONG_NAME, overflow="fold")
    for metric in metrics:
        each.add_column(Text(metric), justify="right", no_wrap=True)
    for name in names:
        values = (found.get((name, metric)) for metric in metrics)
        each.add_row(Text(name), *("–" if value is None else number(value) for value in values))
    console.print(each)
    if len(names) < 2:
        return
    means = _table("Means over all pairs")
    means.add_column("measure", width=_LONG_NAME, overflow="fold")
    means.add_column("mean", width=_VALUE)
    means.add_column("more alike is", width=14)
    means.add_column("pairs", width=_COUNT, justify="right")
    for summary in paired_summary(pairs):
        mean = summary.estimate
        means.add_row(
            Text(summary.metric),
            _numbers(Interval(mean.value, mean.low, mean.high)),
            "higher" if summary.higher_is_more_similar else "lower",
            str(mean.n_generated),
        )
    console.print(means)


def print_edits(record: EditingRecord, console: Console) -> None:
    """Print what editors made of each set: whether they did what was asked, beside the scores that papers report.

    Args:
        record: the study.
        console: where to.
    """
    for one in record.sets:
        comparison, found = one.comparison, ladders(one)
        table = _table(f"{one.name}: {sum(p.n for p in comparison.prompts)} images, {len(comparison.prompts)} prompts")
        table.add_column("row", min_width=12, max_width=_NAME, overflow="fold")
        table.add_column("place", no_wrap=True)
        table.add_column("succeeded", min_width=13, no_wrap=True)
        for name in ("did as asked", "held the rest"):
            table.add_column(name, width=6, justify="right")
        for ladder in found[:-1]:
            table.add_column(Text(ladder.title), justify="right", min_width=max(map(len, ladder.title.split())))
        for row in comparison.rows:
            style = "" if row.role == "editor" else "dim"
            if row.succeeded is None or row.obeyed is None or row.held is None:
                table.add_row(Text(row.row), "", Text(row.note), style=style)
                continue
            low, high = (f"{100 * end:.0f}" for end in (row.succeeded.low, row.succeeded.high))
            papers = (ordinal(ladder, row.row) for ladder in found[:-1])
            table.add_row(
                Text(row.row), ordinal(found[-1], row.row), f"{percent(row.succeeded.value)} [{low}, {high}]",
                percent(row.obeyed.value), percent(row.held.value), *papers, style=style,
            )  # fmt: skip
        console.print(table)
        _item(console, headline(one))
    _item(
        console,
        "Places by edits that succeeded, which did as asked and held the rest, with 95 % intervals; at the right"
        " places by scores that papers report.",
    )
    for note in record.notes:
        _item(console, note)


def print_classification(found: Classification, console: Console, *, each: bool = False) -> None:
    """Print how many images were put to which caption.

    Args:
        found: the records.
        console: where to.
        each: print a line an image, too.
    """
    if each:
        table = _table("Each image")
        table.add_column("image", width=_LONG_NAME, overflow="fold")
        table.add_column("put to", overflow="fold")
        table.add_column("cosine", justify="right")
        table.add_column("next", justify="right")
        for image, k in zip(found.images, found.found, strict=True):
            best, following = sorted(image.cosines, reverse=True)[:2]
            table.add_row(Text(image.image), Text(found.captions[k]), f"{best:.3f}", f"{following:.3f}")
        console.print(table)
    table = _table(f"{len(found.images)} images, by the caption that is most like each")
    table.add_column("caption", overflow="fold")
    table.add_column("images", justify="right", width=_COUNT)
    if found.confusion is not None:
        table.add_column("known to be", justify="right")
        table.add_column("of these right", justify="right")
    for k, caption in enumerate(found.captions):
        row: list[Text | str] = [Text(caption), str(found.found.count(k))]
        if found.confusion is not None:
            row += [str(sum(found.confusion[k])), str(found.confusion[k][k])]
        table.add_row(*row)
    console.print(table)
    if found.accuracy is not None:
        _item(console, f"Right: {_share(found.accuracy)} of {found.accuracy.n_generated} images.")
    unknown = found.true.count(None)
    if 0 < unknown < len(found.true):
        _item(console, f"{unknown} images are of no class that one of the captions names, and are not scored.")
    _item(console, f"By {found.model}; weights {found.extractor}.")


def print_retrieved(caption: str, model: str, images: Sequence[Likeness], console: Console) -> None:
    """Print the images that fit a caption best.

    Args:
        caption: what was looked for.
        model: who looked.
        images: best first.
        console: where to.
    """
    table = _table(f"'{caption}'")
    table.add_column("", justify="right")
    table.add_column("image", overflow="fold")
    table.add_column("cosine", justify="right")
    for place, image in enumerate(images, start=1):
        table.add_row(str(place), Text(image.image), f"{image.cosines[0]:.3f}")
    console.print(table)
    _item(console, f"By {model}.")


def print_caption_retrieval(found: CaptionRetrieval, console: Console) -> None:
    """Print how often the right caption is found.

    Args:
        found: the record.
        console: where to.
    """
    table = _table(f"The right one of {found.of} captions")
    table.add_column("", width=_LONG_NAME)
    table.add_column("share", width=_LONG_NAME)
    table.add_column("by chance", justify="right")
    for name, estimate, chance in (
        ("own caption first", found.first, 1 / found.of),
        ("own caption among five", found.among_five, min(5, found.of) / found.of),
        ("own image first", found.image_first, 1 / found.of),
    ):
        table.add_row(name, _share(estimate), f"{100 * chance:.1f} %")
    console.print(table)
    _item(console, f"{found.first.n_generated} images; brackets hold 95 % intervals. By {found.model}.")


def _share(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} % [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _caption_scores(scores: Sequence[CaptionScore]) -> Table:
    conventions = list(dict.fromkeys(s.convention for s in scores))
    against = f"'{scores[0].caption}'" if scores[0].caption else "each image's own caption"
    table = _table(f"CLIPScore against {against}, by {scores[0].model}")
    table.add_column("set", width=_NAME, overflow="fold")
    table.add_column("role", width=_ROLE, no_wrap=True)
    for convention in conventions:
        table.add_column(convention, overflow="fold")
    table.add_column("images", width=_COUNT, justify="right", no_wrap=True)
    for name in dict.fromkeys(s.compared for s in scores):
        of_set = [s for s in scores if s.compared == name]
        table.add_row(
            Text(name),
            of_set[0].role,
            *(_numbers(Interval(s.estimate.value, s.estimate.low, s.estimate.high)) for s in of_set),
            str(of_set[0].estimate.n_generated),
            style="" if of_set[0].role in ("measured", "generated") else "dim",
        )
    return table


def _scores(title: str, scores: Sequence[Score]) -> Table:
    table = _table(f"{title}, {'higher' if scores[0].higher_is_better else 'lower'} is closer")
    table.add_column("set", width=_NAME, overflow="fold")
    table.add_column("role", width=_ROLE, no_wrap=True)
    table.add_column("times the floor", width=_RATIO)
    table.add_column("value", width=_VALUE)
    table.add_column("floor", width=_FLOOR)
    table.add_column("fields", width=_COUNT, justify="right", no_wrap=True)
    for s in scores:
        e = s.estimate
        table.add_row(
            Text(s.compared + _THROUGH * s.trained_through),
            s.role,
            _numbers(ratio_to_floor(s)),
            _numbers(Interval(e.value, e.low, e.high)),
            number(s.floor.value),
            f"{e.n_measured}/{e.n_generated}",
            style="" if s.role == "generated" else "dim",
        )
    return table


def _physics(comparison: Comparison) -> Table:
    """A line a descriptor: the measured mean, and each generated set against it."""
    sets = list(dict.fromkeys(e.compared for e in comparison.equivalences if e.role in ("generated", "another")))
    table = _table("Descriptors: difference of means from the measured ones")
    table.add_column("descriptor", width=_LONG_NAME, overflow="fold")
    table.add_column("measured", width=_MEAN, overflow="fold")
    for name in sets:
        table.add_column(Text(name), min_width=_RATIO, overflow="fold")
    found = {(e.descriptor, e.compared): e for e in comparison.equivalences}
    for r in (r for r in comparison.readings if r.role == "measured"):
        mean = reading_interval(r)
        shown = rounded(mean.value, mean.low, mean.high) if mean.known else None
        table.add_row(
            Text(r.descriptor),
            Text("no value" if shown is None else f"{shown.value}{shown.power} {r.unit}".rstrip()),
            *(_against_margin(found.get((r.descriptor, name))) for name in sets),
        )
    return table


def _against_margin(e: Equivalence | None) -> Text:
    if e is None or e.verdict == "invalid":
        return Text("too few fields", style="dim")
    mark, style = {"equivalent": ("=", "green"), "different": ("≠", "red")}.get(e.verdict, ("?", "yellow"))
    mark += "~" if e.distribution_differs and e.verdict != "different" else ""
    if e.difference is None or e.difference_95 is None:
        return Text(f"{mark} too few fields", style=style)
    text = rounded(e.difference, *e.difference_95)
    plus = "" if text.value.startswith("−") else "+"
    return Text(f"{mark} {plus}{text}", style=style)


def _diversities(diversities: Sequence[Diversity]) -> Table:
    higher = diversities[0].higher_is_more_diverse
    table = _table(f"{diversities[0].metric} within a set, {'higher' if higher else 'lower'} is more varied")
    table.add_column("set", width=_LONG_NAME, overflow="fold")
    table.add_column("role", width=_ROLE, no_wrap=True)
    table.add_column("against measured", width=_RATIO)
    table.add_column("mean", width=_VALUE)
    table.add_column("fields", width=_COUNT, justify="right", no_wrap=True)
    means = [Interval(d.estimate.value, d.estimate.low, d.estimate.high) for d in diversities]
    measured = next((m for m, d in zip(means, diversities, strict=True) if d.role == "measured"), None)
    for mean, d in zip(means, diversities, strict=True):
        table.add_row(
            Text(d.compared + _THROUGH * d.trained_through),
            d.role,
            "" if d.role == "measured" else _against(mean, measured),
            _numbers(mean),
            str(d.estimate.n_generated),
            style="" if d.role in ("measured", "generated") else "dim",
        )
    return table


def _against(mean: Interval, measured: Interval | None) -> str:
    if measured is None or not (mean.known and measured.known):
        return ""
    if mean.overlaps(measured):
        return "no difference found"
    return "below" if mean.below(measured) else "above"


def _numbers(interval: Interval) -> str:
    return str(rounded(interval.value, interval.low, interval.high))


def _table(title: str) -> Table:
    heading = Text(f"\n{title}", style="bold not italic")
    return Table(
        title=heading, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )


def _heading(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"))


def _item(console: Console, text: str) -> None:
    console.print(Padding(Text(text), (0, 0, 0, 2)))
