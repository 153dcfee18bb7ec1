"""The page of an audit: which metrics see which damage, and what the damage looks like.

``index.html`` holds everything that it shows; beside it ``audit.json`` has the records, ``audit.png``
the matrix, and ``audit-brief.png`` the matrix with those descriptors only that see the smallest damage of some kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from morphogen.audit.records import Audit, BlindSpot, DefectRecord
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture
from morphogen.report.audit_figure import audit_figure, audit_png, short_name
from morphogen.report.figures import grey_scale
from morphogen.report.notation import counted, listed, number
from morphogen.report.page import CELL_PX, address, environment
from morphogen.whole_files import write_text_whole, write_whole

NAMED = 3
"""Descriptors that are named for each defect; the figure has the others."""


@dataclass(frozen=True, slots=True)
class _Example:
    """A clean field and the same with every severity of a defect."""

    defect: DefectRecord
    images: tuple[str, ...]


def write_audit_page(
    audit: Audit, examples: Mapping[str, Sequence[Picture]], folder: Path, *, command: str, seconds: float, version: str
) -> Path:
    """Write ``index.html``, ``audit.json``, ``audit.png`` and ``audit-brief.png``.

    Args:
        audit: what was found.
        examples: for defects by their name, the clean field and the damaged ones.
        folder: where; made where it is missing.
        command: the command that was typed.
        seconds: what it took.
        version: of Morphogen.

    Returns:
        The path of ``index.html``.
    """
    clean = Pictures([pictures[0] for pictures in examples.values()]) if examples else None
    grey = grey_scale(clean) if clean is not None else None
    shown = [
        _Example(d, tuple(address(p, grey) for p in examples[d.name]))
        for d in audit.defects
        if grey is not None and d.name in examples
    ]
    text = (
        environment()
        .get_template("audit.html.j2")
        .render(
            audit=audit,
            title=f"Which metrics see what is wrong with a {audit.kind}?",
            lead=lead(audit),
            figure=audit_figure(audit),
            findings=[(spot, in_words(audit, spot)) for spot in audit.who_sees()],
            alarms=alarms(audit),
            examples=shown,
            cell_px=CELL_PX,
            columns=max((len(e.images) for e in shown), default=1),
            command=command,
            seconds=seconds,
            version=version,
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_text_whole(folder / "audit.json", audit.model_dump_json(indent=1))
    for name, brief in (("audit.png", False), ("audit-brief.png", True)):
        write_whole(folder / name, partial(_write, audit_png(audit, brief=brief)))
    write_text_whole(folder / "index.html", text)
    return folder / "index.html"


def lead(audit: Audit) -> str:
    """The result in a few sentences."""
    spots = audit.who_sees()
    standard = [m.name for m in audit.metrics if m.standard]
    seen = sum(bool(spot.seen_by) for spot in spots)
    text = (
        f"With {audit.sizes[0]} images, descriptors and the search for copies and repeats see the smallest damage of"
        f" {seen} of {len(spots)} kinds."
    )
    if standard:
        hits = {name: sum(name not in spot.missed_by for spot in spots) for name in standard}
        best = max(hits.values())
        leaders = [short_name(name) for name, count in hits.items() if count == best]
        who = f"{listed(leaders)} does best: it sees" if len(leaders) == 1 else f"{listed(leaders)} do best: they see"
        what = f"{who} {counted(best)}" if best else "none sees that of any kind"
        text += f" Of the {counted(len(standard))} metrics that papers report, {what}."
        unseen = sum(len(spot.missed_by) == len(standard) for spot in spots)
        if unseen and best:
            text += f" None of them sees that of {counted(unseen)} {'kind' if unseen == 1 else 'kinds'}."
    rewarded = sorted({(metric, spot.defect) for spot in spots for metric in spot.rewarded_by if metric in standard})
    if rewarded:
        some = listed([f"{short_name(metric)} under {defect}" for metric, defect in rewarded[:NAMED]])
        cases = "one case" if len(rewarded) == 1 else f"{counted(len(rewarded))} cases"
        text += f" In {cases} such a metric calls the damaged images better: {some}"
        text += " and others." if len(rewarded) > NAMED else "."
    return text


def in_words(audit: Audit, spot: BlindSpot) -> str:
    """Who sees the smallest severity of a defect, in a sentence."""
    names = [short_name(name) for name in spot.seen_by]
    more = [f"{counted(len(names) - NAMED)} more"] * (len(names) > NAMED)
    text = f"seen by {listed([*names[:NAMED], *more])}" if names else "seen by no descriptor"
    standard = sum(m.standard for m in audit.metrics)
    if len(spot.missed_by) == standard:
        text += "; missed by every metric that papers report"
    elif spot.missed_by:
        text += f"; missed by {listed([short_name(name) for name in spot.missed_by])}"
    if spot.rewarded_by:
        text += f"; at its gravest rewarded by {listed([short_name(name) for name in spot.rewarded_by])}"
    return f"{text}."


def alarms(audit: Audit) -> list[str]:
    """Which metrics do not stay quiet under a harmless change, a sentence each."""
    found = []
    for defect in (d for d in audit.defects if d.harmless):
        loud = [short_name(m.name) for m in audit.metrics if not audit.quiet(m.name, defect.name, audit.sizes[0])]
        severities = f"{', '.join(map(number, defect.severities))} {defect.unit}".strip()
        found.append(
            f"{defect.name} ({severities}): "
            + (f"{listed(loud)} {'raises' if len(loud) == 1 else 'raise'} an alarm." if loud else "all stay quiet.")
        )
    return found


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)
