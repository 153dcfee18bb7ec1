"""The card of an image set on a terminal."""

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from morphogen.evaluation.duplicates import symmetry_in_words
from morphogen.report.advice import leaks_in_words
from morphogen.report.card import ArtefactFact, Card, CorrelationFact, PairFact
from morphogen.report.notation import counted, listed, number

BLOCKS = " ▁▂▃▄▅▆▇█"
LISTED = 4
SPARK_BINS = 48


def print_card(card: Card, console: Console | None = None) -> None:
    """Print a card on the terminal."""
    console = console or Console()
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, words in rows(card):
        table.add_row(name, Text(words))
    console.print(table)
    height, width = card.crop_px
    facts = Table(title=f"Descriptors over fields of {height} x {width}", title_justify="left", box=None)
    for column in ("descriptor", "mean", "spread between fields", "unit", "fields"):
        facts.add_column(column, justify="left" if column in ("descriptor", "unit") else "right")
    for fact in card.facts:
        if fact.fields:
            facts.add_row(fact.name, f"{fact.mean:.4g}", f"{fact.spread:.3g}", fact.unit, str(fact.fields))
    console.print(facts)
    for why in dict.fromkeys(fact.invalid for fact in card.facts if not fact.fields):
        unread = [fact.name for fact in card.facts if not fact.fields and fact.invalid == why]
        console.print(Text(f" not read: {listed(unread)}, since {why}"))
    console.print(Text("What is sensible (rules by their number in docs/describe.md)", style="italic"))
    advised = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    advised.add_column(no_wrap=True)
    advised.add_column(no_wrap=True)
    advised.add_column()
    for a in card.advice:
        mark = Text("!", style="bold yellow") if a.warning else Text("")
        advised.add_row(mark, Text(a.about, style="bold"), Text(f"{a.words} ({a.rule})"))
    console.print(advised)


def rows(card: Card) -> list[tuple[str, str]]:
    """The facts of a card in words, under their names."""
    found = [(card.name, f"fingerprint {card.fingerprint}")]
    sizes = ", ".join(f"{count} of {size}" for size, count in sorted(card.sizes.items())[:LISTED])
    more = "" if len(card.sizes) <= LISTED else f" and {len(card.sizes) - LISTED} more sizes"
    colour = {1: "grey", 3: "RGB"}.get(card.channels, f"{card.channels} channels")
    types = f" ({', '.join(card.file_types)})" if card.file_types else ""
    found.append(("images", f"{card.images}, {sizes}{more}; {colour}, {card.pixel_type}{types}"))
    if card.looked_at < card.images:
        found.append(("", f"pixels of {card.looked_at} of them were looked at, evenly spread"))
    found.append(("specimens", str(card.specimens)))
    if card.slices is not None:
        found.append(("slices", slices_in_words(card)))
    found.append(("pixel size", "; ".join(spacing_words(s) for s in card.spacing_um[:3])))
    if card.masks and card.mask_shares:
        low, mean, high = (f"{100 * share:.3g}" for share in card.mask_shares)
        found.append(("masks", f"{card.masks} images; {mean} % of an image on average, {low} to {high} %"))
    if card.captions:
        found.append(("captions", f"{card.captions} images, such as '{card.caption_examples[0]}'"))
    for label in card.labels:
        if label.classes:
            classes = [f"{name} ({count})" for name, count in list(label.classes.items())[:6]]
            dots = ", ..." if len(label.classes) > 6 else ""
            found.append((label.name, f"{', '.join(classes)}{dots}"))
        elif label.low is not None and label.high is not None:
            found.append((label.name, f"{number(label.low)} to {number(label.high)} in {label.images} images"))
    found += _grey(card)
    height, width = card.crop_px
    room = f"room for {card.independent_fields:.0f} independent fields of {height} x {width} pixels"
    if card.slices is not None and card.slices.alike > 1.5:
        room += f"; as slices are alike, no more than {card.really_independent:.0f} of them really"
    found.append(("fields", room))
    found += [("alike", correlation_in_words(c)) for c in card.correlations]
    if card.pieces is not None:
        found.append(
            ("", f"the images hold about {number(float(f'{card.pieces:.2g}'))} independent pieces of structure")
        )
    found.append(("split", card.split))
    if card.leaks is not None:
        found.append((f"against {card.leaks.other}", leak_line(card)))
    if card.segmentation:
        found.append(("segmentation", f"{card.phase}: pixels {card.segmentation}"))
    found += [("duplicates", words) for words in duplicates_in_words(card)]
    found.append(("artefacts", artefacts_in_words(card)))
    return found


def _grey(card: Card) -> list[tuple[str, str]]:
    low, high, first, last = card.grey
    saturated = f"; {card.saturated:.2%} of the pixels at the ends of the type" if card.saturated > 1e-4 else ""
    levels = f"; {card.levels} different ones" if card.levels is not None else ""
    found = [("grey levels", f"{low:g} to {high:g}, 99.8 % within {first:g} to {last:g}{levels}{saturated}")]
    found += [("" if len(card.histograms) == 1 else h.channel, sparkline(h.counts)) for h in card.histograms]
    if card.constant:
        found.append(
            ("empty", f"{names([f.name for f in card.constant])} show{'s' * (len(card.constant) == 1)} nothing")
        )
    if card.clipped:
        worst = card.clipped[0]
        many = f"{counted(len(card.clipped))} image{'s' * (len(card.clipped) > 1)}"
        found.append(("clipped", f"{many}; most in {worst.name}, {worst.value:.1%} of it at an end"))
    return found


def correlation_in_words(c: CorrelationFact) -> str:
    """How far something is alike."""
    windows = f"{c.window_px[0]} x {c.window_px[1]}"
    if c.length_px is None:
        return f"{c.of}: further than half of the {windows} pixels that were looked at"
    px = f"{c.length_px:.3g} px"
    length = px if c.pixel_um is None else f"{c.length_px * c.pixel_um:.3g} µm ({px})"
    words = f"{c.of}: correlation length {length}"
    if c.integral_range_px2 is not None:
        words += f", integral range {c.integral_range_px2:.3g} px²"
    return words


def slices_in_words(card: Card) -> str:
    """How alike neighbouring slices are."""
    s = card.slices
    if s is None:
        return ""
    what = "files that look like slices of one volume" if s.as_files else f"{s.slices} slices of {_volumes(s.volumes)}"
    return (
        f"{what}; neighbours have a correlation of {s.correlation[0]:.2f}, and about {s.alike:.1f} slices stand for one"
    )


def duplicates_in_words(card: Card) -> list[str]:
    """Identical images and overlaps, a line each kind."""
    found = [f"{listed(list(group[:LISTED]))} have the same pixels" for group in card.identical[:LISTED]]
    if len(card.identical) > LISTED:
        found.append(f"and {len(card.identical) - LISTED} more groups")
    found += [pair_in_words(p) for p in card.near[:LISTED]]
    if len(card.near) > LISTED:
        found.append(f"and {len(card.near) - LISTED} more pairs")
    return found or [f"none among {card.near_looked_at} images, also shifted, flipped or turned"]


def pair_in_words(p: PairFact) -> str:
    """What two images have in common."""
    how = symmetry_in_words(p.turns, p.mirrored)
    moved = f"shifted by {p.down}, {p.right} px" if (p.down or p.right) and not how else ""
    laid = ", ".join(part for part in (how, moved) if part)
    return (
        f"{p.names[0]} and {p.names[1]} show one place: {p.overlap:.0%} in common"
        f"{', ' + laid if laid else ''}, correlation {p.likeness:.2f}"
    )


def artefacts_in_words(card: Card) -> str:
    """Stripes and rings that were found."""
    if not card.artefacts_looked_at:
        return "no image was looked at"
    if not card.artefacts:
        return f"no stripes or rings in {card.artefacts_looked_at} images"
    images = len({a.image for a in card.artefacts})
    worst = sorted(card.artefacts, key=lambda a: -abs(a.score))[:LISTED]
    more = f" and {len(card.artefacts) - LISTED} more" if len(card.artefacts) > LISTED else ""
    return f"in {images} of {card.artefacts_looked_at} images: {'; '.join(artefact_in_words(a) for a in worst)}{more}"


def artefact_in_words(a: ArtefactFact) -> str:
    """One stripe or ring."""
    where = f"ring of radius {a.place:g}" if a.kind == "ring" else f"{a.kind} {a.place:g}"
    return f"{where} px of {a.name} ({a.excess:+.3g} grey levels)"


def leak_line(card: Card) -> str:
    """What two sets have in common, or that they have nothing."""
    leaks = card.leaks
    if leaks is None:
        return ""
    gap = f"; the nearest regions of one image are {leaks.smallest_gap_px} px apart" if leaks.smallest_gap_px else ""
    if leaks.any:
        return f"leaks: {leaks_in_words(card)}{gap}"
    return f"nothing in common with its {leaks.other_images} images was found{gap}"


def spacing_words(spacing: tuple[float, float]) -> str:
    """A pixel size in words."""
    height, width = spacing
    if not (math.isfinite(height) and math.isfinite(width)):
        return "unknown (give it with --pixel-size)"
    return f"{height:g} um" if height == width else f"{height:g} x {width:g} um (height x width)"


def names(of: list[str]) -> str:
    """A few names, and how many more there are."""
    return listed(of) if len(of) <= LISTED else f"{', '.join(of[:LISTED])} and {len(of) - LISTED} more"


def sparkline(counts: tuple[int, ...]) -> str:
    """A histogram as a line of blocks."""
    together = -(-len(counts) // SPARK_BINS)
    summed = [sum(counts[i : i + together]) for i in range(0, len(counts), together)]
    tallest = max(summed) or 1
    return "".join(BLOCKS[math.ceil(n / tallest * (len(BLOCKS) - 1))] for n in summed)


def _volumes(count: int) -> str:
    return "one volume" if count == 1 else f"{count} volumes"
