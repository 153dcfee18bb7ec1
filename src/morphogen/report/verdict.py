"""What the intervals of a comparison allow one to say, in sentences.

Two estimates are told apart only where their 95 % intervals do not overlap, which is stricter than a test
of their difference at 5 % (Schenker and Gentleman, The American Statistician 55, 182, 2001): a difference
that is named here is one, and a small real one can go unnamed. So "no difference was found" is said with
the number of fields, and never "the same": whether two sets are equivalent is another question, which
overlapping intervals do not answer.

The measure that names the closest method is the first kernel distance that can tell measured images from
noise; the others are then asked whether they agree. A measure that takes noise for measured images is set
aside, and the text says so; so is a measure over features that one of the methods was trained to please, since it can
no longer rank them. "Closest" is never said without the measure, nor without the descriptors where they
speak against it.

The descriptors are judged by tests of equivalence (``evaluation/equivalence.py``), which do tell "the same, within a
margin" from "not enough images to say".
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from morphogen.evaluation.records import Comparison, Diversity, Equivalence, Reading, Role, Score
from morphogen.report.notation import Rounded, counted, listed, number, rounded

SMALL_SAMPLE = 30
"""Below this number of fields a bootstrap interval is itself uncertain, and the text says so."""

LEANING = 0.95
"""A median distance to training images is called small below this share of that of held-out images: a slight blur alone
lowers it by up to 2 %."""

CAUGHT = 0.9
"""Share of planted copies that must be caught before a set can be said to hold none."""

KERNEL_DISTANCES = ("kernel distance", "KID")

IN_NUMBERS = 3
"""This many descriptors that differ are told with their numbers; the table has the others'."""

About = Literal["closest", "controls", "agreement", "physics", "copies", "variety", "caution"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """A finding in words, and what it is about."""

    about: About
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said of one comparison.

    Attributes:
        leaders: the closest method and those that its interval does not tell from it; empty where no
            measure can say.
        methods: all methods that were scored.
        measure: the measure that says so, in short: "VGG16 kernel distance".
        sentences: the findings, the most important first.
        contradicted: whether another measure puts another method first.
        still_differ: those of the leaders that this measure tells from measured images.
        outdone_by: methods of which fewer descriptors differ from measured ones than of any leader.
    """

    leaders: tuple[str, ...]
    methods: tuple[str, ...]
    measure: str
    sentences: tuple[Sentence, ...]
    contradicted: bool = False
    still_differ: tuple[str, ...] = ()
    outdone_by: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """Which method is closest by which measure, and what the descriptors say against it."""
        return " ".join(self.about("closest"))

    @property
    def gist(self) -> str:
        """The headline in a few words and without numbers."""
        if not self.leaders:
            return "No measure can name a closest method."
        if len(self.methods) == 1:
            return f"{self.leaders[0]} is the only method."
        if len(self.leaders) == 1:
            text = f"{self.leaders[0]} is closest by {self.measure}"
        else:
            text = f"{listed(self.leaders)} cannot be told apart by {self.measure}"
        against = ["some other measures"] * self.contradicted + ["the descriptors"] * bool(self.outdone_by)
        return f"{text}; {listed(against)} say otherwise." if against else f"{text}."

    def about(self, *subjects: About) -> tuple[str, ...]:
        """The sentences about these subjects, in order."""
        return tuple(s.text for s in self.sentences if s.about in subjects)


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its interval; ``closer`` orders two of them where lower means closer to measured."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is a value with an interval at all."""
        return not any(map(math.isnan, (self.value, self.low, self.high)))

    def overlaps(self, other: "Interval") -> bool:
        """Whether the two cannot be told apart."""
        return self.low <= other.high and other.low <= self.high

    def below(self, other: "Interval") -> bool:
        """Whether this one lies wholly under the other."""
        return self.high < other.low


def ratio_to_floor(score: Score) -> Interval:
    """The score with its interval, both in units of the floor; NaN where the floor allows no ratio."""
    scale = _scale(score)
    estimate = score.estimate
    return Interval(score.ratio_to_floor, estimate.low * scale, estimate.high * scale)


def floor_in_ratios(score: Score) -> Interval:
    """The floor of a score with its own interval, in the same units as ``ratio_to_floor``."""
    scale = _scale(score)
    return Interval(score.floor.value * scale, score.floor.low * scale, score.floor.high * scale)


def measure_name(score: Score) -> str:
    """What a score measures, "kernel distance (VGG16 relu5_3)"; the resize stands in the table."""
    features = score.features.split(",")[0]
    return f"{score.metric} ({features})" if features else score.metric


def reading_interval(reading: Reading) -> Interval:
    """The mean of a reading with its interval; NaN where it has none."""
    mean, low, high = (math.nan if v is None else v for v in (reading.mean, reading.low, reading.high))
    return Interval(mean, low, high)


def verdict(comparison: Comparison, remarks: Mapping[str, str] | None = None) -> Verdict:
    """What the intervals allow one to say.

    Args:
        comparison: the findings.
        remarks: what else is known of a method, by its name, such as that its training diverged.
    """
    measures = _measures(comparison.scores)
    remarks = {name: note for name, note in (remarks or {}).items() if note}
    methods = tuple(dict.fromkeys(s.compared for s in comparison.scores if s.role == "generated"))
    usable = [m for m in measures if m.generated and not m.blind and not m.pleased]
    cautions = [*_cautions(comparison, measures, methods), *_remarks(remarks)]
    if not usable:
        why = "no generated set was scored" if not methods else "no measure tells measured images from noise"
        if any(m.pleased and not m.blind for m in measures):
            why = "every measure that could say reads features that one of them was trained through"
        closest = Sentence("closest", f"None can be called closest to the measured {comparison.specimen}: {why}.")
        physics, *_ = _physics(comparison, ())
        rest = (*physics, *_copies(comparison), *_variety(comparison), *cautions)
        return Verdict((), methods, "", (closest, *rest))
    headline = min(usable, key=lambda m: (m.higher_is_better, m.metric not in KERNEL_DISTANCES))
    leaders = headline.leaders
    agreement, contradicted = _agreement(headline, usable)
    physics, against, outdone_by = _physics(comparison, leaders)
    sentences = (
        Sentence("closest", _closest(comparison.specimen, headline)),
        *against,
        *_against_controls(headline),
        *agreement,
        *physics,
        *_copies(comparison),
        *_variety(comparison),
        *cautions,
    )
    still_differ = tuple(s.compared for s in headline.of(leaders) if headline.floor(s).below(headline.distance(s)))
    return Verdict(leaders, methods, headline.in_short, sentences, contradicted, still_differ, outdone_by)


def overall(verdicts: Mapping[str, Verdict], budget: str) -> str:
    """One paragraph over all specimens of a study."""
    clear: dict[str, list[str]] = {}
    tied: list[str] = []
    unsaid: list[str] = []
    alone: list[str] = []
    judged: dict[str, list[str]] = {}  # measures and the specimens on which they say what is closest
    for name, v in verdicts.items():
        if not v.leaders:
            unsaid.append(name)
            continue
        judged.setdefault(v.measure, []).append(name)
        if len(v.methods) == 1:
            alone.append(f"{v.leaders[0]} on {name}")
        elif len(v.leaders) == 1:
            clear.setdefault(v.leaders[0], []).append(name)
        else:
            tied.append(f"on {name}, {listed(v.leaders)} cannot be told apart")
    measures = listed([m if len(judged) == 1 else f"{m} on {listed(on)}" for m, on in judged.items()])
    parts = [f"{method} came closest to the measured images of {listed(on)}" for method, on in clear.items()]
    parts += tied
    if alone:
        parts.append(f"there is one method only, {listed(alone)}: what it differs in is said below")
    if unsaid:
        parts.append(f"no measure could name a closest method on {listed(unsaid)}")
    given = [f"with {budget}"] * bool(budget) + [f"judged by {measures}"] * bool(clear or tied)
    text = ", ".join(filter(None, (" and ".join(given), "; ".join(parts)))) + "."
    still = [name for name, v in verdicts.items() if v.leaders and len(v.still_differ) == len(v.leaders)]
    if still:
        by = f"the same measure{'s' * (len(judged) > 1)}" if clear or tied else measures
        text += f" By {by}, even the closest images of {listed(still)} still differ from measured ones."
    contradicted = [name for name, v in verdicts.items() if v.contradicted]
    if contradicted:
        text += f" On {listed(contradicted)}, some other measures put another method first."
    outdone = [name for name, v in verdicts.items() if v.outdone_by]
    if outdone:
        text += (
            f" On {listed(outdone)}, the closest images differ from measured ones in more descriptors than those of"
            " another method."
        )
    if any("fewer than" in caution for v in verdicts.values() for caution in v.about("caution")):
        text += " Some of it rests on small samples."
    return text[:1].upper() + text[1:]


@dataclass(frozen=True, slots=True)
class _Measure:
    """All scores under one metric and one kind of features."""

    metric: str
    name: str
    in_short: str
    higher_is_better: bool
    scores: tuple[Score, ...] = field(repr=False)

    @property
    def generated(self) -> tuple[Score, ...]:
        """Scores of generated sets that have a value, the closest first."""
        found = [s for s in self.scores if s.role == "generated" and self.distance(s).known]
        return tuple(sorted(found, key=lambda s: self.distance(s).value))

    @property
    def leaders(self) -> tuple[str, ...]:
        """The closest set and those that its interval does not tell from it."""
        best = self.distance(self.generated[0])
        return tuple(s.compared for s in self.generated if self.distance(s).overlaps(best))

    @property
    def blind(self) -> bool:
        """Whether noise passes for measured images under this measure."""
        noise = self.control("noise")
        return noise is not None and not self.floor(noise).below(self.distance(noise))

    @property
    def pleased(self) -> tuple[str, ...]:
        """The sets whose methods were trained to please the features of this measure."""
        return tuple(s.compared for s in self.scores if s.trained_through)

    def distance(self, score: Score) -> Interval:
        """The estimate, turned so that lower means closer."""
        return self._turned(score.estimate.value, score.estimate.low, score.estimate.high)

    def floor(self, score: Score) -> Interval:
        """The floor of a score, turned the same way."""
        return self._turned(score.floor.value, score.floor.low, score.floor.high)

    def control(self, role: Role) -> Score | None:
        """The score of a control, where it was computed."""
        return next((s for s in self.scores if s.role == role and self.distance(s).known), None)

    def of(self, names: Iterable[str]) -> list[Score]:
        """Scores of the generated sets of these names, the closest first."""
        wanted = set(names)
        return [s for s in self.generated if s.compared in wanted]

    def _turned(self, value: float, low: float, high: float) -> Interval:
        return Interval(-value, -high, -low) if self.higher_is_better else Interval(value, low, high)


def _measures(scores: Sequence[Score]) -> list[_Measure]:
    kinds = dict.fromkeys((s.metric, s.features) for s in scores)
    groups = [[s for s in scores if (s.metric, s.features) == kind] for kind in kinds]
    return [_Measure(g[0].metric, measure_name(g[0]), _in_short(g[0]), g[0].higher_is_better, tuple(g)) for g in groups]


def _in_short(score: Score) -> str:
    """What a score measures in two or three words; FID and KID say by themselves what they are over."""
    network = re.split(r"[ ,]", score.features)[0]
    if not network or score.metric.isupper():
        return score.metric
    return f"{score.metric} of descriptors" if network == "descriptors" else f"{network} {score.metric}"


def _closest(specimen: str, measure: _Measure) -> str:
    ranked, leaders = measure.generated, measure.leaders
    first = ranked[0]
    if len(ranked) == 1:
        return (
            f"{first.compared} is the only method: its {measure.in_short} from the measured {specimen} is"
            f" {_far(first)}."
        )
    if len(leaders) == 1:
        text = (
            f"Of the {counted(len(ranked))}, {first.compared} is closest to the measured {specimen} by"
            f" {measure.in_short}: it is at {_far(first)}"
        )
        rest = list(ranked[1:])
    else:
        which = "None of them" if len(leaders) == len(ranked) > 2 else f"Neither of {listed(leaders)}"
        if len(leaders) > 2 and len(leaders) < len(ranked):
            which = f"None of {listed(leaders)}"
        values = listed([f"{_ratio(s)} for {s.compared}" for s in measure.of(leaders)])
        text = (
            f"{which} can be called closest to the measured {specimen}: by {measure.in_short} they cannot be"
            f" told apart, at {values}, where {_unit(first)}"
        )
        rest = [s for s in ranked if s.compared not in leaders]
    if rest:
        text += f"; {listed([f'{s.compared} is at {_ratio(s)}' for s in rest])}"
    noise = measure.control("noise")
    if noise is not None:
        text += f"; noise is at {_ratio(noise)}"
    return f"{text}."


def _against_controls(measure: _Measure) -> list[Sentence]:
    """The leaders against the floor, and everything against the wrong specimen and noise."""
    found = []
    unresolved: dict[str, list[str]] = {}
    for score in measure.of(measure.leaders):
        distance, floor, n = measure.distance(score), measure.floor(score), score.estimate
        if distance.overlaps(floor):
            unresolved.setdefault(_fields(n.n_measured, n.n_generated), []).append(score.compared)
        elif floor.below(distance):
            found.append(f"{score.compared} still differs from measured images by {measure.in_short}.")
        else:
            found.append(
                f"{score.compared} is closer than two measured sets are to each other, as copies would be:"
                " look at its nearest training images."
            )
    for fields, names in unresolved.items():
        found.append(
            f"Between {listed(names)} and measured images, {measure.in_short} found no difference {fields}; that does"
            " not show that there is none."
        )
    controls = (
        (measure.control("another"), "images of another specimen"),
        (measure.control("noise"), "noise"),
    )
    for control, what in controls:
        if control is None:
            continue
        no_closer = [s.compared for s in measure.generated if not measure.distance(s).below(measure.distance(control))]
        if no_closer:
            who = f"{listed(no_closer)} {_be(no_closer)}"
            text = f"{who} not shown to be closer than {what}, at {_ratio(control)}."
            found.append(text)
    return [Sentence("controls", text) for text in found]


def _agreement(headline: _Measure, usable: Sequence[_Measure]) -> tuple[list[Sentence], bool]:
    """What the other measures say of the leaders, and whether one of them puts another method first."""
    others = [m for m in usable if m is not headline and len(m.generated) > 1]
    if not others or len(headline.generated) < 2:
        return [], False
    agree, against, single_out, undecided = [], [], [], []
    leaders = set(headline.leaders)
    for m in others:
        theirs = set(m.leaders)
        if theirs == leaders:
            agree.append(m.name)
        elif not theirs & leaders:
            against.append(m)
        elif theirs < leaders:
            single_out.append(m)
        else:
            undecided.append(m)
    found = []
    if agree:
        found.append(f"{listed(agree)} {'say' if len(agree) > 1 else 'says'} the same.")
    for m in against:
        ahead = listed([f"{s.compared} at {_ratio(s)}" for s in m.of(m.leaders)])
        behind = listed([f"{s.compared} at {_ratio(s)}" for s in m.of(leaders)])
        found.append(f"{m.name} says otherwise: it puts {ahead} before {behind or listed(headline.leaders)}.")
    for m in single_out:
        first = listed([f"{s.compared} at {_ratio(s)}" for s in m.of(m.leaders)])
        found.append(f"{m.name} tells more: it puts {first} first.")
    for m in undecided:
        found.append(f"{m.name} cannot tell {listed(m.leaders)} apart.")
    return [Sentence("agreement", text[:1].upper() + text[1:]) for text in found], bool(against)


def _physics(comparison: Comparison, leaders: Sequence[str]) -> tuple[list[Sentence], list[Sentence], tuple[str, ...]]:
    """Which descriptors of each method are equivalent to measured ones, differ, or cannot be decided; leaders first.

    Returns:
        A sentence for each method; what belongs beside the headline, and the methods that it is about, where fewer
        descriptors differ than for any leader.
    """
    tests = [e for e in comparison.equivalences if e.role == "generated"]
    names = dict.fromkeys(e.compared for e in tests)
    ordered = [*(n for n in leaders if n in names), *(n for n in names if n not in leaders)]
    found, differing, asked = [], {}, {}
    for name in ordered:
        of_set = [e for e in tests if e.compared == name and e.verdict != "invalid"]
        few = sum(e.compared == name and e.verdict == "invalid" for e in tests)
        of = {v: [e for e in of_set if e.verdict == v] for v in ("equivalent", "different", "undecided")}
        differing[name], asked[name] = len(of["different"]), len(of_set)
        parts = []
        if of["different"]:
            farthest = sorted(of["different"], key=_margins_away, reverse=True)
            rest = len(farthest) - IN_NUMBERS
            also = [f"{rest} more differ" if rest > 1 else "one more differs"] * (rest > 0)
            parts.append(listed([*map(_difference, farthest[:IN_NUMBERS]), *also]))
        if of["undecided"]:
            parts.append(f"these fields cannot decide {_some(of['undecided'])}{_needed(of['undecided'])}")
        only_spread = [e for e in of["equivalent"] if e.distribution_differs]
        if only_spread:
            parts.append(
                f"in {_some(only_spread)} its fields vary otherwise than measured ones, though the means agree"
            )
        share = f"{len(of['equivalent'])} of {len(of_set)} descriptors are equivalent to the measured ones"
        if of["equivalent"]:
            parts.insert(0, f"{share} ({_some(of['equivalent'])})")
        else:
            parts.insert(0, f"none of {len(of_set)} descriptors is shown to be equivalent to the measured ones")
        if few:
            parts.append(f"{counted(few)} more {'has' if few == 1 else 'have'} a value in too few fields")
        found.append(Sentence("physics", f"{name}: {'; '.join(parts)}."))
    ahead = [n for n in differing if n not in leaders and all(differing[n] < differing.get(x, 0) for x in leaders)]
    against = []
    if leaders and ahead:
        shares = {n: f"{differing[n]} of {asked[n]} for {n}" for n in differing}
        text = (
            "The descriptors say otherwise: a difference from measured images beyond the margin was found in"
            f" {listed([shares[n] for n in leaders])}, but in {listed([shares[n] for n in ahead])}."
        )
        against.append(Sentence("closest", text))
    return found, against, tuple(ahead) if leaders else ()


def _margins_away(e: Equivalence) -> float:
    """How many margins the means are apart; what most fields lack is farther than any number."""
    return abs(e.difference) / e.margin if e.difference is not None and e.margin else math.inf


def _difference(e: Equivalence) -> str:
    """In words, such as: its porosity is 0.05 [0.04, 0.06] above the measured one (margin 0.02)."""
    if e.reason or e.difference is None or e.difference_95 is None or e.margin is None:
        return f"{e.descriptor} ({e.reason.rstrip('.')})"
    sign = -1 if e.difference < 0 else 1
    ends = sorted(sign * end for end in e.difference_95)
    unit = f" {e.unit}" if e.unit and e.unit != "1" else ""
    return (
        f"its {e.descriptor} is {rounded(sign * e.difference, *ends)}{unit} {'below' if sign < 0 else 'above'} the"
        f" measured one (margin {number(e.margin)})"
    )


def _some(tests: Sequence[Equivalence]) -> str:
    """Names of a few descriptors, and how many more."""
    names = [e.descriptor for e in tests]
    more = len(names) - IN_NUMBERS
    return listed(names) if more < 2 else listed([*names[:IN_NUMBERS], f"{counted(more)} more"])


def _needed(undecided: Sequence[Equivalence]) -> str:
    """How many fields would decide half of the undecided descriptors, and the whole of them where that is known."""
    known = sorted(e.fields_needed for e in undecided if e.fields_needed is not None)
    if not known:
        return ", nor would any number worth collecting"
    half = known[(len(undecided) - 1) // 2] if len(known) > (len(undecided) - 1) // 2 else known[-1]
    of = "it" if len(undecided) == 1 else f"{counted(sum(n <= half for n in known))} of these"
    return f"; about {number(half)} fields of each set would decide {of}"


def _copies(comparison: Comparison) -> list[Sentence]:
    """Whether images are copies of training images, or lean on them."""
    found: list[str] = []
    clean: list[str] = []
    for of_set in comparison.memorisations:
        spaces = [s for s in (of_set.pixels, of_set.features) if s is not None]
        copied = [s for s in spaces if s.more_than_chance]
        for s in copied:
            share = rounded(100 * s.copies.value, 100 * s.copies.low, 100 * s.copies.high)
            found.append(
                f"{of_set.compared}: {s.copies.hits} of {s.copies.n} images, {share} %, are copies of training images,"
                f" by their distance in {s.space.split(',')[0]}."
            )
        leaning = [s for s in spaces if s.median_ratio.high < LEANING]
        for s in leaning:
            ratio = rounded(s.median_ratio.value, s.median_ratio.low, s.median_ratio.high)
            found.append(
                f"{of_set.compared} leans on its training images: their median distance in {s.space.split(',')[0]} is"
                f" {ratio} of that of held-out measured images."
            )
        pixels = of_set.pixels
        if pixels is None:
            found.append(f"Copies among the images of {of_set.compared} could not be looked for: {of_set.invalid}.")
        elif pixels.caught is not None and pixels.caught.value < CAUGHT:
            found.append(
                f"Only {pixels.caught.hits} of {pixels.caught.n} planted copies were caught, so that copies among the"
                f" images of {of_set.compared} may go unseen."
            )
        elif not copied and not leaning:
            clean.append(of_set.compared)
    if clean:
        found.append(f"No more copies of training images were found among those of {listed(clean)} than chance finds.")
    return [Sentence("copies", text) for text in found]


def _variety(comparison: Comparison) -> list[Sentence]:
    """Whether the images of a set differ among themselves as much as measured ones do."""
    found = []
    for metric in dict.fromkeys(d.metric for d in comparison.diversities):
        rows = [d for d in comparison.diversities if d.metric == metric and _variety_of(d).known]
        measured = next((d for d in rows if d.role == "measured"), None)
        if measured is None:
            continue
        groups: dict[str, list[Diversity]] = {"less": [], "more": [], "undecided": []}
        for d in (d for d in rows if d.role == "generated" and not d.trained_through):
            if _variety_of(d).overlaps(_variety_of(measured)):
                groups["undecided"].append(d)
            else:
                groups["less" if _variety_of(d).below(_variety_of(measured)) else "more"].append(d)
        reference = f"measured {_estimate(measured)}"
        for kind in ("less", "more"):
            if groups[kind]:
                names = listed([f"{d.compared} ({_estimate(d)})" for d in groups[kind]])
                found.append(
                    f"Images of {names} vary {kind} among themselves than measured ones do ({metric}; {reference})."
                )
        if groups["undecided"]:
            names = listed([d.compared for d in groups["undecided"]])
            n = min(d.estimate.n_generated for d in groups["undecided"])
            fields = _fields(measured.estimate.n_measured, n)
            found.append(
                f"In how much the images of {names} vary, no difference from measured ones was found"
                f" {fields} ({metric})."
            )
    return [Sentence("variety", text) for text in found]


def _cautions(comparison: Comparison, measures: Sequence[_Measure], methods: Sequence[str]) -> list[Sentence]:
    found = []
    blind = [m.name for m in measures if m.blind]
    if blind:
        found.append(
            f"{listed(blind)} cannot tell measured images from noise here and {_be(blind)} left out of the judgement."
        )
    found += _trained_through(comparison)
    sizes = [n for s in comparison.scores for n in (s.estimate.n_measured, s.estimate.n_generated)]
    sizes += [r.n + r.n_invalid for r in comparison.readings]
    if sizes and min(sizes) < SMALL_SAMPLE:
        found.append(
            f"The smallest set has {counted(min(sizes))} {_plural('field', min(sizes))}, fewer than"
            f" {SMALL_SAMPLE}: its intervals are themselves uncertain, and only large differences can show."
        )
    for m in measures:
        missing = [n for n in methods if n not in {s.compared for s in m.generated}]
        if missing:
            found.append(f"{m.name} has no value for {listed(missing)}.")
    without: dict[tuple[str, str], list[str]] = {}
    for r in comparison.readings:
        if r.mean is None and r.role in ("measured", "generated"):
            without.setdefault((r.compared, r.invalid.rstrip(".")), []).append(r.descriptor)
    for (name, why), descriptors in without.items():
        found.append(f"{listed(descriptors)} {'have' if len(descriptors) > 1 else 'has'} no value for {name}: {why}.")
    return [Sentence("caution", text[:1].upper() + text[1:]) for text in found]


def _trained_through(comparison: Comparison) -> list[str]:
    """What no judgement rests on, since a method was trained to please it."""
    found: dict[str, dict[str, None]] = {}
    for s in (s for s in comparison.scores if s.trained_through):
        found.setdefault(s.compared, {})[s.features.split(",")[0]] = None
    for d in (d for d in comparison.diversities if d.trained_through):
        found.setdefault(d.compared, {})[d.metric] = None
    return [
        f"What {name} scores over {listed(list(over))} is no evidence, since its method was trained through these"
        " features, and no judgement rests on them."
        for name, over in found.items()
    ]


def _remarks(remarks: Mapping[str, str]) -> list[Sentence]:
    return [Sentence("caution", f"{name}: {note.rstrip('.')}.") for name, note in remarks.items()]


def _scale(score: Score) -> float:
    """What turns an estimate into its ratio to the floor."""
    for value, in_floors in ((score.estimate.value, score.ratio_to_floor), (score.floor.value, 1.0)):
        if value and math.isfinite(value) and math.isfinite(in_floors):
            return in_floors / value
    return math.nan


def _ratio(score: Score) -> str:
    interval = ratio_to_floor(score)
    if interval.known:
        return f"{rounded(interval.value, interval.low, interval.high)}"
    return f"{_estimate(score)} (no ratio: the floor is {number(score.floor.value)})"


def _far(score: Score) -> str:
    if not ratio_to_floor(score).known:
        return f"{_estimate(score)}, where two measured sets differ by {number(score.floor.value)}"
    return f"{_ratio(score)} times what two measured sets {'reach' if score.higher_is_better else 'differ by'}"


def _unit(score: Score) -> str:
    if not ratio_to_floor(score).known:
        return f"two measured sets are at {number(score.floor.value)}"
    return f"1 is what two measured sets {'reach' if score.higher_is_better else 'differ by'}"


def _estimate(record: Score | Diversity) -> Rounded:
    return rounded(record.estimate.value, record.estimate.low, record.estimate.high)


def _variety_of(diversity: Diversity) -> Interval:
    e = diversity.estimate
    if diversity.higher_is_more_diverse:
        return Interval(e.value, e.low, e.high)
    return Interval(-e.value, -e.high, -e.low)


def _fields(measured: int, generated: int) -> str:
    if measured == generated:
        return f"with {measured} {_plural('field', measured)} each"
    return f"with {measured} measured and {generated} generated fields"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _be(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"
