"""The results of a review: on the terminal, as a page, and as a section of the page that has the metrics.

``index.html`` holds everything that it shows; beside it ``review.json`` has the records, and ``answers.csv`` every
answer with what was shown, for whoever wants to count anew.
"""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup
from pydantic import ValidationError
from rich import box
from rich.console import Console
from rich.table import Table

import morphogen
from morphogen.evaluation.records import Comparison
from morphogen.problems import Problem
from morphogen.report.notation import listed, number, rounded
from morphogen.report.page import environment
from morphogen.report.plots import Row, Style, interval_plot, styles
from morphogen.report.study_record import StudyRecord
from morphogen.report.verdict import Interval
from morphogen.review.records import CHOICES, KINDS
from morphogen.review.results import Consistency, Found, Learning, ReviewResults, Telling, Value
from morphogen.whole_files import write_folder_whole, write_text_whole

BEGIN, END = "<!-- review of experts -->", "<!-- end of the review -->"
"""What stands round the section in a page of evidence, so that it is replaced and not doubled."""

_ASKED = {
    "one": "one image at a time",
    "two": "two images at a time",
    "prefer": "preferences",
    "rate": "ratings",
}

_PLOTS: tuple[tuple[str, str, float | None, Callable[[Telling], Value]], ...] = (
    ("Right answers", "share", 0.5, lambda t: t.accuracy),
    ("Sensitivity", "d′", 0.0, lambda t: t.d_prime),
    ("Area under the curve", "area", 0.5, lambda t: t.area),
    ("Generated taken for measured", "share, exact interval", None, lambda t: t.taken),
)


def read_evidence(folder: Path) -> tuple[Comparison, ...]:
    """The comparisons in a folder that ``evaluate --out`` or ``study`` wrote.

    Raises:
        Problem: there are none.
    """
    file = folder / "study.json" if folder.is_dir() else folder
    try:
        record = StudyRecord.from_json(file.read_text(encoding="utf-8"))
    except OSError:
        raise Problem(f"there is no evidence in {folder}", do="give a folder that an evaluation wrote") from None
    except (ValidationError, ValueError):
        raise Problem(f"{file} is not evidence that this version reads", do="evaluate again") from None
    return tuple(specimen.comparison for specimen in record.specimens)


def write_results(found: Found, folder: Path, evidence: Path | None = None) -> Path:
    """Write the page, the records and the answers; and the section into the page of the evidence, where there is one.

    Returns:
        The path of ``index.html``.

    Raises:
        Problem: the folder cannot be written.
    """
    results, templates = found.results, _environment()
    section = templates.get_template("review_section.html.j2").render(**_shown(results))
    page = templates.get_template("review_page.html.j2").render(
        section=Markup(section), results=results, version=morphogen.__version__, lead=lead(results)
    )

    def fill(place: Path) -> None:
        write_text_whole(place / "index.html", page)
        write_text_whole(place / "review.json", results.model_dump_json(indent=1))
        write_text_whole(place / "answers.csv", _answers(found))

    write_folder_whole(folder, fill)
    if evidence is not None:
        beside = (evidence if evidence.is_dir() else evidence.parent) / "index.html"
        if beside.is_file():
            write_text_whole(beside, with_section(beside.read_text(encoding="utf-8"), section))
    return folder / "index.html"


def with_section(page: str, section: str) -> str:
    """A page with the section at its end, in the place of one that it had."""
    before, begin, rest = page.partition(BEGIN)
    if begin:
        page = before + rest.partition(END)[2]
    at = page.rfind("</main>")
    if at < 0:
        raise Problem("the page of the evidence has no place for the review", do="write it anew by an evaluation")
    return f"{page[:at]}{BEGIN}\n{section}\n{END}\n{page[at:]}"


def lead(results: ReviewResults) -> str:
    """The result in a few sentences."""
    seen = sum(rater.answered > 0 for rater in results.raters)
    text = f"{seen} {'rater' if seen == 1 else 'raters'} gave {results.answers} answers."
    for entry in (t for t in results.tellings if t.compared == "all"):
        share = rounded(100 * entry.accuracy.value, 100 * entry.accuracy.low, 100 * entry.accuracy.high)
        text += (
            f" {_ASKED[entry.kind][:1].upper()}{_ASKED[entry.kind][1:]}, {share} % were right, where chance gives 50;"
        )
        text += f" {_in_words(entry)}."
    if results.abilities:
        best = results.abilities[0]
        text += f" Preferred most: {best.name}, in {best.won} of {best.of} comparisons."
    return text


def print_results(results: ReviewResults, console: Console) -> None:
    """Print the results as tables."""
    console.print(f"[bold]{results.title}[/bold]", highlight=False)
    console.print(lead(results), highlight=False)
    if results.tellings:
        table = _table("Measured from generated", "asked", "method", "right", "accuracy", "d′", "area", "p", "")
        for t in results.tellings:
            table.add_row(_ASKED[t.kind], t.compared, f"{t.right} of {t.answers}", _text(t.accuracy), _text(t.d_prime),
                          _text(t.area), number(t.p), _in_words(t))  # fmt: skip
        console.print(table)
    if results.abilities:
        table = _table("Preference (Bradley-Terry)", "set", "ability", "preferred")
        for a in results.abilities:
            table.add_row(a.name, _text(a.ability), f"{a.won} of {a.of}")
        console.print(table)
    if results.ratings:
        table = _table("Ratings, 1 to 5", "criterion", "set", "mean", "difference from measured")
        for r in results.ratings:
            table.add_row(r.criterion, r.name, _text(r.mean), _text(r.difference))
        console.print(table)
    table = _table("Raters", "rater", "answered", "right", "d′", "consistent", "s an answer")
    for rater in results.raters:
        table.add_row(rater.name, f"{rater.answered} of {rater.asked}", _text(rater.right), _plain(rater.d_prime),
                      _text(rater.consistent), _plain(rater.seconds))  # fmt: skip
    console.print(table)
    for agreement in results.agreements:
        console.print(f"Krippendorff's alpha, {agreement.what.rstrip('.')}: {_text(agreement.alpha)}", highlight=False)
    for entry in results.learning:
        console.print(
            f"Learning, {_ASKED[entry.kind]}: {_text(entry.early)} right in the first half, {_text(entry.late)} in the"
            f" second (p = {number(entry.p)})", highlight=False,
        )  # fmt: skip
    for c in results.correlations:
        if c.rho is not None and c.p is not None:
            console.print(f"{c.metric} and {c.people}: rank correlation {number(c.rho)} over {c.methods} methods"
                          f" (p = {number(c.p)})", highlight=False)  # fmt: skip
    for note in results.notes:
        console.print(f"Note: {note}", highlight=False)


def _shown(results: ReviewResults) -> dict[str, object]:
    """What the section is drawn from."""
    looks = {**styles({"measured": "measured"}), **styles(dict.fromkeys(results.methods, "generated"))}
    looks["all"] = looks["measured"]
    plots = []
    for kind in dict.fromkeys(t.kind for t in results.tellings):
        entries = [t for t in results.tellings if t.kind == kind]
        for title, axis, line, value in _PLOTS:
            rows = [_row(t.compared, looks, value(t)) for t in entries]
            plots.append(interval_plot(title, rows, axis=axis, subtitle=_ASKED[kind], line=line))
    if results.abilities:
        rows = [_row(a.name, looks, a.ability) for a in results.abilities]
        plots.append(interval_plot("Preference", rows, axis="ability (log odds)", subtitle="Bradley-Terry", line=0.0))
    for criterion in dict.fromkeys(r.criterion for r in results.ratings):
        rows = [_row(r.name, looks, r.mean) for r in results.ratings if r.criterion == criterion]
        plots.append(interval_plot(_short(criterion), rows, axis="mean rating, 1 to 5", subtitle="rating"))
    return {
        "results": results, "plots": plots, "asked": _ASKED, "lead": lead(results), "more": _more,
        "within": _within_session(results),
        "measured_against": [c for c in results.correlations if c.rho is not None],
        "too_few": bool(results.correlations) and all(c.rho is None for c in results.correlations),
    }  # fmt: skip


def _within_session(results: ReviewResults) -> list[tuple[str, Consistency | None, Learning | None]]:
    """Of each kind of question whether repeats were answered alike, and whether raters learnt."""
    alike = {entry.kind: entry for entry in results.consistencies}
    learnt = {entry.kind: entry for entry in results.learning}
    return [(kind, alike.get(kind), learnt.get(kind)) for kind in KINDS if kind in alike or kind in learnt]


def _row(name: str, looks: dict[str, Style], value: Value) -> Row:
    return Row(name, looks[name], Interval(value.value, value.low, value.high))


def _short(criterion: str) -> str:
    return criterion if len(criterion) <= 42 else f"{criterion[:40].rsplit(' ', 1)[0].rstrip(' ,')} …"


def _in_words(telling: Telling) -> str:
    if telling.verdict != "undecided":
        return telling.verdict
    return f"undecided; {_more(telling)}" if telling.answers_needed is not None else "undecided"


def _more(telling: Telling) -> str:
    """How many more answers would decide."""
    more = (telling.answers_needed or 0) - telling.answers
    return f"about {number(more)} more {'answer' if more == 1 else 'answers'} would decide"


def _answers(found: Found) -> str:
    """Every answer that counts, with what was shown."""
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(("number", "rater", "position", "kind", "training", "repeat_of", "first", "second", "choice", "of",
                    "right", "ratings", "seconds", "wall", "source_first", "source_second"))  # fmt: skip
    for look in sorted(found.looks, key=lambda x: x.answer.number):
        a, q = look.answer, look.question
        sets = (*look.sets, "")[:2]
        right = look.right if q.kind in ("one", "two") else ""
        sources = [f"{s.specimen} {s.source}" for s in (found.key.images[name] for name in q.images)]
        table.writerow((a.number, a.rater, a.position, q.kind, q.training, "" if q.repeat_of is None else q.repeat_of,
                        *sets, "" if a.choice is None else a.choice + 1, CHOICES[q.kind] or "", right,
                        json.dumps(a.ratings) if a.ratings else "", a.seconds, a.wall,
                        *(*sources, "")[:2]))  # fmt: skip
    return lines.getvalue()


def _environment() -> Environment:
    """The templates of the report and those of the review."""
    made = environment()
    assert made.loader is not None
    made.loader = ChoiceLoader([PackageLoader("morphogen.review", ""), made.loader])
    made.filters["listed"] = listed
    made.filters["value"] = lambda v: Markup("–") if v is None else made.filters["estimate"](
        Interval(v.value, v.low, v.high))  # fmt: skip
    return made


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _text(value: Value | None) -> str:
    return "–" if value is None else str(rounded(value.value, value.low, value.high))


def _plain(value: float | None) -> str:
    return "–" if value is None else number(value)
