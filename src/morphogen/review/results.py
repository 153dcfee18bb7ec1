"""What the answers mean, once the key is open.

Everything is counted over first looks: repeats tell how consistent a rater is and are no new evidence, and of an answer
that was taken back the last one counts.

- Whether people can tell is an accuracy with two intervals: the exact one of independent answers, for these raters and
  images (``binomial_intervals``), and a wider one that holds for others too (``crossed_variance``).
  With one image at a time the accuracy is the mean of the shares of measured and of generated images that were called
  right, so that one who calls everything measured has 1/2. The test against chance deals the labels of the images out
  anew (``label_permutation``).
- "told apart": p < 0.05 and more right than by chance. "taken for measured": p < 0.05 and fewer; there is a difference,
  and the generated ones look more like what raters take for measured. "hardly told apart": p < 0.05, but with 90 %
  confidence within the margin of 1/2. "not told apart": within the margin with 90 % confidence. Otherwise "undecided",
  and the number of answers is given that would decide with a probability of 80 % if the accuracy is the one found: with
  V the variance, N the answers, a the distance from 1/2,

      n = N V ((z_0.975 + z_0.8) / a)^2      to tell apart
      n = N V ((z_0.95 + z_0.9) / (margin - a))^2      to show that it is within the margin

  whichever is less. It takes raters and images to grow in number with the answers.
- What people say is held against what metrics say over the methods, by Spearman's rank correlation, with the exact p of
  all orders. Three methods give one p of 1/3 at best; the table says how many there are.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from morphogen.evaluation.records import Comparison, Record
from morphogen.mathematics.agreement import Scale, krippendorff_alpha
from morphogen.mathematics.binomial_intervals import clopper_pearson
from morphogen.mathematics.bradley_terry import abilities
from morphogen.mathematics.crossed_variance import Spread, crossed_spread
from morphogen.mathematics.label_permutation import DEALS, flipped_signs, permuted_labels, permuted_order
from morphogen.mathematics.randomness import numpy_generator
from morphogen.mathematics.signal_detection import area_under_curve, detection
from morphogen.problems import Problem
from morphogen.report.notation import listed
from morphogen.report.verdict import measure_name
from morphogen.review.answers import last_of_each, read_answers
from morphogen.review.folder import OpenReview
from morphogen.review.records import Answer, Design, Key, Kind, Question
from morphogen.review.sealing import unseal

POWER = 0.8
MOST_WORTH_SAYING = 1_000_000
"""More answers than this nobody gives, and their number is not told."""
RESAMPLES = 400

Verdict = Literal["told apart", "hardly told apart", "not told apart", "taken for measured", "undecided"]
_DEALS, _ORDERS, _UNITS = range(3)  # purposes of random streams


class Value(Record):
    """A value with its 95 % interval, over raters and images unless another is named."""

    value: float
    low: float
    high: float


class Telling(Record):
    """How well measured images were told from those of one method, or of all.

    Attributes:
        kind: "one" or "two".
        compared: name of the method, or "all".
        answers: first looks.
        raters: who gave them.
        images: images or pairs that were shown.
        right: how many answers were right.
        exact: share of right answers with its exact interval, as if answers were independent.
        accuracy: the same with raters and images; see the module.
        taken: share of the generated images that were taken for measured, with its exact interval.
        d_prime: sensitivity.
        criterion: bias; above zero where "measured" (or "right") is said too often.
        area: area under the receiver's curve, from how sure raters were.
        p: of the test against chance.
        verdict: see the module.
        answers_needed: where undecided, how many answers in all would decide; None where it is too many to say.
    """

    kind: Kind
    compared: str
    answers: int
    raters: int
    images: int
    right: int
    exact: Value
    accuracy: Value
    taken: Value
    d_prime: Value
    criterion: Value
    area: Value
    p: float
    verdict: Verdict
    answers_needed: int | None = None


class OfRater(Record):
    """One rater: how far he came, how well he told, and how consistent he is."""

    name: str
    answered: int
    asked: int
    taken_back: int
    right: Value | None
    d_prime: float | None
    criterion: float | None
    consistent: Value | None
    seconds: float | None


class Agreement(Record):
    """Krippendorff's alpha of one thing that all were asked, with its interval over images."""

    what: str
    scale: Scale
    alpha: Value | None
    raters: int
    images: int


class Consistency(Record):
    """How often a question that was asked again was answered the same way."""

    kind: Kind
    same: int
    of: int
    share: Value


class Ability(Record):
    """Where a set stands on the scale of Bradley and Terry; 0 is the mean, +1 is preferred to 0 in 73 % of cases."""

    name: str
    ability: Value
    won: int
    of: int


class Rating(Record):
    """Mean rating of one set by one criterion, and its difference from the measured one."""

    criterion: str
    name: str
    mean: Value
    difference: Value | None
    answers: int
    cannot_say: int


class Learning(Record):
    """Whether raters grew better over their session: shares of right answers in the first and second half."""

    kind: Kind
    early: Value
    late: Value
    p: float


class Correlation(Record):
    """How a metric orders the methods, against how people do. Both are turned so that more is farther from measured."""

    metric: str
    people: str
    methods: int
    rho: float | None
    p: float | None


class Analysis(Record):
    """What the answers mean, whatever study they belong to."""

    methods: tuple[str, ...]
    tellings: tuple[Telling, ...]
    raters: tuple[OfRater, ...]
    agreements: tuple[Agreement, ...]
    consistencies: tuple[Consistency, ...]
    abilities: tuple[Ability, ...]
    ratings: tuple[Rating, ...]
    learning: tuple[Learning, ...]
    notes: tuple[str, ...]


class ReviewResults(Analysis):
    """All that was found of one study."""

    title: str
    kind_of_specimen: str
    key_sha256: str
    created: str
    opened: str
    answers: int
    after_opening: int
    taken_back: int
    margin: float
    correlations: tuple[Correlation, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """An answer with what it was an answer to, and what was shown."""

    answer: Answer
    question: Question
    sets: tuple[str, ...]

    @property
    def measured_first(self) -> bool:
        """Whether the image, or the left one, is measured."""
        return self.sets[0] == "measured"

    @property
    def said_first(self) -> bool:
        """Whether the first half of the choices was taken: "measured", or "left"."""
        choice = self.answer.choice or 0
        return choice < (1 if self.question.kind == "prefer" else 3)

    @property
    def right(self) -> bool:
        """Whether the answer is right; of ``one`` and ``two``."""
        return self.said_first == self.measured_first

    @property
    def shown(self) -> str:
        """What was shown, whatever its sides."""
        return "+".join(sorted(self.question.images))


@dataclass(frozen=True, slots=True)
class Found:
    """The results, and what they were drawn from."""

    results: ReviewResults
    design: Design
    key: Key
    looks: tuple[Look, ...] = field(repr=False)


def review_results(
    folder: Path, code: str, *, evidence: Sequence[Comparison] | None = None, margin: float = 0.1, seed: int = 0
) -> Found:
    """Open the key of a study and say what its answers mean.

    Args:
        folder: of the study. That its key was opened is written there.
        code: that opens the key.
        evidence: comparisons of the same sets by metrics.
        margin: accuracies within this of 1/2 count as not telling apart.
        seed: of the tests' deals.

    Raises:
        Problem: no answers, a wrong code, anything that changed since it was sealed, or evidence on other images.
    """
    review = OpenReview.of(folder)
    stored = read_answers(folder, review.sha256)
    if not stored:
        raise Problem(f"nobody has answered {folder} yet", do="serve it first")
    key = unseal(review.sealed, code, review.study)
    others = _of_other_fields(key, evidence) if evidence else []
    opening = review.opening(len(stored))
    design = review.study.design
    asked = {rater.name: rater.questions for rater in design.raters}
    looks = []
    for answer in last_of_each(stored):
        question = asked[answer.rater][answer.position]
        looks.append(Look(answer, question, tuple(key.images[name].set for name in question.images)))
    found = analysed(design, key, looks, margin=margin, seed=seed)
    if others:
        doubt = (
            f"The metrics of {', '.join(others)} are over other fields than those of the sealed set, by their"
            " fingerprint: the set changed since, or was evaluated with another seed or number of fields."
        )
        found = found.model_copy(update={"notes": (*found.notes, doubt)})
    results = ReviewResults(
        title=design.title,
        kind_of_specimen=design.kind_of_specimen,
        key_sha256=review.study.key_sha256,
        created=design.created,
        opened=opening.opened,
        answers=len(stored),
        after_opening=len(stored) - opening.answers,
        taken_back=sum(a.revision > 0 for a in stored),
        margin=margin,
        correlations=tuple(_correlations(found, evidence or ())),
        **dict(found),
    )
    return Found(results, design, key, tuple(looks))


def analysed(design: Design, key: Key, looks: Sequence[Look], *, margin: float = 0.1, seed: int = 0) -> Analysis:
    """What answers mean, that have been put beside what was shown."""
    methods = tuple(name for name, record in key.sets.items() if record.role == "generated")
    first = [look for look in looks if look.question.repeat_of is None and not look.question.training]
    tellings = [
        telling(kind, name, of_method, margin, numpy_generator(seed, _DEALS, number))
        for kind in design.kinds
        if kind in ("one", "two")
        for number, name in enumerate(("all", *methods))
        if _both_classes(of_method := _against(kind, name, first)) and not (name != "all" and len(methods) == 1)
    ]
    learning = [_learning(kind, first, seed) for kind in design.kinds if kind in ("one", "two")]
    consistencies = [_consistency(kind, looks) for kind in design.kinds]
    return Analysis(
        methods=methods,
        tellings=tuple(tellings),
        raters=tuple(_of_rater(rater.name, len(rater.questions), looks, first) for rater in design.raters),
        agreements=tuple(_agreements(design, first, seed)),
        consistencies=tuple(c for c in consistencies if c is not None),
        abilities=tuple(_abilities(key, first)),
        ratings=tuple(_ratings(design, key, first)),
        learning=tuple(entry for entry in learning if entry is not None),
        notes=tuple(_notes(design, key, looks)),
    )


def telling(
    kind: Kind, name: str, looks: Sequence[Look], margin: float, generator: np.random.Generator, deals: int = DEALS
) -> Telling:
    """How well one method, or all, was told from measured images.

    Args:
        kind: "one" or "two".
        name: of the method.
        looks: first looks at its images and at measured ones; both classes are among them.
        margin: see the module.
        generator: of the test's deals.
        deals: how many.
    """
    raters, images = _numbered([x.answer.rater for x in looks]), _numbered([x.shown for x in looks])
    right = np.array([x.right for x in looks])
    measured = np.array([x.measured_first for x in looks])  # or at the left
    said = np.array([x.said_first for x in looks])
    grades = np.array([float(x.answer.choice or 0) for x in looks])
    # Signals are generated images, or pairs with the measured one at the right; both are the second half of choices.
    found = detection(~said, ~measured, two_at_a_time=kind == "two")
    area, on_area = area_under_curve(grades, ~measured)
    if kind == "one":
        influence = np.where(measured, (right - right[measured].mean()) / measured.sum(),
                             (right - right[~measured].mean()) / (~measured).sum()) / 2  # fmt: skip
        accuracy = float(right[measured].mean() + right[~measured].mean()) / 2
        generated = ~measured
        taken = _exact(int((said & generated).sum()), int(generated.sum()))
        counts = [_tally(images, kept.astype(np.float64)) for kept in (~said, said)]
        is_signal = np.zeros(len(counts[0]), dtype=bool)
        is_signal[images] = ~measured
        p = permuted_labels(counts[0], counts[1], is_signal, generator, deals)
    else:
        accuracy = float(right.mean())
        influence = (right - accuracy) / len(right)
        taken = _exact(int((~right).sum()), len(right))
        p = flipped_signs(_tally(images, np.where(right, 1.0, -1.0)), generator, deals)
    count, hits = len(looks), int(right.sum())
    spread = crossed_spread(influence, raters, images, _least(hits / count, count))
    decided = _verdict(accuracy, spread, p, margin)
    return Telling(
        kind=kind,
        compared=name,
        answers=count,
        raters=len(np.unique(raters)),
        images=len(np.unique(images)),
        right=hits,
        exact=_exact(hits, count),
        accuracy=_within(accuracy, spread, 0, 1),
        taken=taken,
        d_prime=_within(found.d_prime, crossed_spread(found.on_d_prime, raters, images, found.independent[0])),
        criterion=_within(found.criterion, crossed_spread(found.on_criterion, raters, images, found.independent[1])),
        area=_within(area, crossed_spread(on_area, raters, images, _least(area, count)), 0, 1),
        p=p,
        verdict=decided,
        answers_needed=_needed(abs(accuracy - 0.5), spread, count, margin) if decided == "undecided" else None,
    )


def _least(share: float, count: int) -> float:
    """A variance that a share cannot be below: that of independent answers, two more of them given, one of each."""
    shrunk = (share * count + 1) / (count + 2)
    return shrunk * (1 - shrunk) / count


def _verdict(accuracy: float, spread: Spread, p: float, margin: float) -> Verdict:
    low, high = spread.interval(accuracy, 0.90)
    within = 0.5 - margin <= low and high <= 0.5 + margin
    if p < 0.05:
        apart: Verdict = "told apart" if accuracy > 0.5 else "taken for measured"
        return "hardly told apart" if within else apart
    return "not told apart" if within else "undecided"


def _needed(distance: float, spread: Spread, count: int, margin: float) -> int | None:
    """Answers in all that would decide; see the module."""
    z = stats.norm.ppf
    of_one = spread.variance * count
    ways = []
    if distance > 0:
        ways.append(of_one * (float(z(0.975) + z(POWER)) / distance) ** 2)
    if distance < margin:
        ways.append(of_one * (float(z(0.95) + z((1 + POWER) / 2)) / (margin - distance)) ** 2)
    fewest = max(min(ways), count + 1)
    if fewest > MOST_WORTH_SAYING:
        return None
    digit = 10 ** max(math.floor(math.log10(fewest)) - 1, 0)
    return int(math.ceil(fewest / digit) * digit)


def _against(kind: Kind, name: str, first: Sequence[Look]) -> list[Look]:
    """Looks at one method's images, and with one image at a time at the measured ones beside them."""
    of_kind = [look for look in first if look.question.kind == kind]
    if name == "all":
        return of_kind
    return [look for look in of_kind if name in look.sets or (kind == "one" and look.measured_first)]


def _both_classes(looks: Sequence[Look]) -> bool:
    return len({look.measured_first for look in looks}) == 2


def _of_rater(name: str, asked: int, looks: Sequence[Look], first: Sequence[Look]) -> OfRater:
    mine = [look for look in first if look.answer.rater == name]
    told = [look for look in mine if look.question.kind in ("one", "two")]
    one = [look for look in told if look.question.kind == "one"] or told
    kinds = {look.question.kind for look in one}
    known = detection(np.array([not x.said_first for x in one]), np.array([not x.measured_first for x in one]),
                      two_at_a_time="two" in kinds) if _both_classes(one) else None  # fmt: skip
    again = _same([look for look in looks if look.answer.rater == name])
    answered = [look.answer for look in looks if look.answer.rater == name]
    return OfRater(
        name=name,
        answered=len(answered),
        asked=asked,
        taken_back=sum(a.revision > 0 for a in answered),
        right=_exact(sum(x.right for x in told), len(told)) if told else None,
        d_prime=known.d_prime if known else None,
        criterion=round(known.criterion, 9) if known else None,  # two halves that cancel leave 1e-17
        consistent=_exact(sum(again), len(again)) if again else None,
        seconds=float(np.median([a.seconds for a in answered])) if answered else None,
    )


def _same(looks: Sequence[Look]) -> list[bool]:
    """Of each repeat whether it was answered like the first time; a rating, whether no criterion moved by two steps."""
    by_place = {(look.answer.rater, look.answer.position): look for look in looks}
    same = []
    for look in looks:
        before = by_place.get(
            (look.answer.rater, look.question.repeat_of if look.question.repeat_of is not None else -1)
        )
        if before is None:
            continue
        if look.question.kind == "rate":
            pairs = zip(look.answer.ratings, before.answer.ratings, strict=True)
            same.append(all(a is b or (a is not None and b is not None and abs(a - b) < 2) for a, b in pairs))
        elif look.question.kind == "one":
            same.append(look.said_first == before.said_first)
        else:  # the sides were changed
            same.append(look.said_first != before.said_first)
    return same


def _consistency(kind: Kind, looks: Sequence[Look]) -> Consistency | None:
    same = _same([look for look in looks if look.question.kind == kind])
    if not same:
        return None
    return Consistency(kind=kind, same=sum(same), of=len(same), share=_exact(sum(same), len(same)))


def _agreements(design: Design, first: Sequence[Look], seed: int) -> list[Agreement]:
    """Alpha of every thing that more than one rater was asked."""
    asked: list[tuple[str, Kind, Scale, Callable[[Look], float]]] = []
    for kind in design.kinds:
        if kind == "one":
            asked.append(("measured or generated", kind, "nominal", lambda x: float(x.said_first)))
            asked.append(("how surely generated, six steps", kind, "ordinal", lambda x: float(x.answer.choice or 0)))
        elif kind in ("two", "prefer"):
            what = "which of two was measured" if kind == "two" else "which of two is preferred"
            # Which image, whatever its side.
            asked.append((what, kind, "nominal", lambda x: float(_taken(x) == min(x.question.images))))
        else:
            for k, criterion in enumerate(design.criteria):
                asked.append((criterion, kind, "ordinal", _rating_of(k)))
    found = []
    for number, (what, kind, scale, value) in enumerate(asked):
        looks = [look for look in first if look.question.kind == kind]
        if not looks:
            continue
        raters, images = _numbered([x.answer.rater for x in looks]), _numbered([x.shown for x in looks])
        table = np.full((int(raters.max()) + 1, int(images.max()) + 1), np.nan)
        table[raters, images] = [value(look) for look in looks]
        found.append(
            Agreement(
                what=what, scale=scale, alpha=_alpha(table, scale, numpy_generator(seed, _UNITS, number)),
                raters=table.shape[0], images=table.shape[1],
            )
        )  # fmt: skip
    return found


def _taken(look: Look) -> str:
    return look.question.images[0 if look.said_first else 1]


def _rating_of(criterion: int) -> Callable[[Look], float]:
    def value(look: Look) -> float:
        rating = look.answer.ratings[criterion]
        return math.nan if rating is None else float(rating)

    return value


def _alpha(table: NDArray[np.float64], scale: Scale, generator: np.random.Generator) -> Value | None:
    alpha = krippendorff_alpha(table, scale)
    if alpha is None:
        return None
    draws = [
        drawn
        for _ in range(RESAMPLES)
        if (drawn := krippendorff_alpha(table[:, generator.integers(0, table.shape[1], table.shape[1])], scale))
        is not None
    ]
    low, high = np.quantile(draws, (0.025, 0.975)) if len(draws) > RESAMPLES / 2 else (-1.0, 1.0)
    return Value(value=alpha, low=min(float(low), alpha), high=max(float(high), alpha))


def _abilities(key: Key, first: Sequence[Look]) -> list[Ability]:
    looks = [look for look in first if look.question.kind == "prefer"]
    names = list(key.sets)
    if not looks or {name for look in looks for name in look.sets} != set(names):
        return []
    places = [(0, 1) if look.said_first else (1, 0) for look in looks]
    winners = np.array([names.index(x.sets[won]) for x, (won, _) in zip(looks, places, strict=True)])
    losers = np.array([names.index(x.sets[lost]) for x, (_, lost) in zip(looks, places, strict=True)])
    raters, images = _numbered([x.answer.rater for x in looks]), _numbered([x.shown for x in looks])
    try:
        scale = abilities(winners, losers, len(names), raters, images)
    except ValueError:
        return []  # too few answers to lead from each set to each
    found = []
    for i, name in enumerate(names):
        low, high = scale.interval(i)
        won, lost = int((winners == i).sum()), int((losers == i).sum())
        found.append(Ability(name=name, ability=Value(value=float(scale.values[i]), low=low, high=high), won=won,
                             of=won + lost))  # fmt: skip
    return sorted(found, key=lambda a: -a.ability.value)


def _ratings(design: Design, key: Key, first: Sequence[Look]) -> list[Rating]:
    looks = [look for look in first if look.question.kind == "rate"]
    found = []
    for k, criterion in enumerate(design.criteria):
        rated = [look for look in looks if look.answer.ratings[k] is not None]
        if not rated:
            continue
        values = np.array([_rating_of(k)(look) for look in rated])
        names = np.array([look.sets[0] for look in rated])
        raters, images = _numbered([x.answer.rater for x in rated]), _numbered([x.shown for x in rated])
        measured = names == "measured"
        for name in key.sets:
            here = names == name
            if not here.any():
                continue
            on_mean = np.where(here, values - values[here].mean(), 0.0) / here.sum()
            mean = _within(float(values[here].mean()), crossed_spread(on_mean, raters, images), 1, 5)
            difference = None
            if name != "measured" and measured.any():
                on_other = np.where(measured, values - values[measured].mean(), 0.0) / measured.sum()
                between = float(values[here].mean() - values[measured].mean())
                difference = _within(between, crossed_spread(on_mean - on_other, raters, images), -4, 4)
            unsaid = sum(look.answer.ratings[k] is None for look in looks if look.sets[0] == name)
            found.append(Rating(criterion=criterion, name=name, mean=mean, difference=difference,
                                answers=int(here.sum()), cannot_say=unsaid))  # fmt: skip
    return found


def _learning(kind: Kind, first: Sequence[Look], seed: int) -> Learning | None:
    values, positions, early, late = [], [], [], []
    for name in dict.fromkeys(look.answer.rater for look in first):
        mine = [look for look in first if look.answer.rater == name and look.question.kind == kind]
        mine.sort(key=lambda look: look.answer.position)
        if len(mine) < 4:
            continue
        right = [float(look.right) for look in mine]
        values.append(np.array(right))
        positions.append(np.arange(len(mine), dtype=np.float64))
        early += right[: len(right) // 2]
        late += right[len(right) // 2 :]
    if not values:
        return None
    return Learning(
        kind=kind, early=_exact(int(sum(early)), len(early)), late=_exact(int(sum(late)), len(late)),
        p=permuted_order(values, positions, numpy_generator(seed, _ORDERS), 1999),
    )  # fmt: skip


def _notes(design: Design, key: Key, looks: Sequence[Look]) -> list[str]:
    notes = []
    seen = {look.answer.rater for look in looks}
    if absent := [rater.name for rater in design.raters if rater.name not in seen]:
        notes.append(f"No answer yet from {', '.join(absent)}.")
    if len(seen) == 1:
        notes.append("One rater alone: intervals hold for other images, not for other raters.")
    if any(look.question.training for look in looks):
        notes.append("There was a training round: raters had been told of a few images what they are.")
    if seen_before := [name for name, record in key.sets.items() if record.seen]:
        notes.append(f"{listed(seen_before)}: trained on the measured images that were shown, so copies would win.")
    return notes


def _correlations(found: Analysis, evidence: Sequence[Comparison]) -> list[Correlation]:
    """Every measure of the evidence against everything that people say, over the methods that both know."""
    people: dict[str, dict[str, float]] = {}
    for entry in found.tellings:
        if entry.compared != "all":
            name = f"accuracy, {'one image' if entry.kind == 'one' else 'two images'} at a time"
            people.setdefault(name, {})[entry.compared] = entry.accuracy.value
    for ability in found.abilities:
        if ability.name in found.methods:
            people.setdefault("preference, reversed", {})[ability.name] = -ability.ability.value
    means: dict[str, list[float]] = {}
    for rating in found.ratings:
        if rating.name in found.methods:
            means.setdefault(rating.name, []).append(rating.mean.value)
    if means:
        people["mean rating, reversed"] = {name: -float(np.mean(values)) for name, values in means.items()}
    correlations = []
    for metric, scores in _metrics(evidence).items():
        for said, values in people.items():
            names = [name for name in values if name in scores]
            if names:
                rho, p = rank_correlation([scores[n] for n in names], [values[n] for n in names])
                correlations.append(Correlation(metric=metric, people=said, methods=len(names), rho=rho, p=p))
    return correlations


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> tuple[float | None, float | None]:
    """Spearman's rank correlation, and the share of all orders that give one as far from zero.

    None where there are fewer than three, or all of one are equal.
    """
    if len(a) < 3 or len(set(a)) == 1 or len(set(b)) == 1:
        return None, None
    x, y = (stats.rankdata(values) for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    rho = float(x @ y) / size
    if len(a) <= 7:
        orders = np.array(list(itertools.permutations(range(len(a)))))
        p = float(np.mean(np.abs(x[orders] @ y) >= abs(float(x @ y)) - 1e-9))
    else:
        p = float(stats.spearmanr(a, b).pvalue)
    return rho, p


def _metrics(evidence: Sequence[Comparison]) -> dict[str, dict[str, float]]:
    """Of each measure its value for each method, more being farther from measured."""
    found: dict[str, dict[str, float]] = {}
    for comparison in evidence:
        for score in comparison.scores:
            if score.role == "generated" and not score.trained_through:
                sign = -1.0 if score.higher_is_better else 1.0
                name = measure_name(score) + (", reversed" if score.higher_is_better else "")
                found.setdefault(name, {})[score.compared] = sign * score.estimate.value
        ratios: dict[str, list[float]] = {}
        for entry in comparison.equivalences:
            if entry.role == "generated" and entry.ratio is not None and math.isfinite(entry.ratio.value):
                ratios.setdefault(entry.compared, []).append(entry.ratio.value)
        for name, values in ratios.items():
            found.setdefault("descriptors, mean distance in natural spreads", {})[name] = float(np.mean(values))
    return found


def _of_other_fields(key: Key, evidence: Sequence[Comparison]) -> list[str]:
    """Methods of which the evidence cannot be shown to be on the images that were sealed.

    Raises:
        Problem: the evidence knows none of the methods.
    """
    known = {name: record.fields_fingerprint for name, record in key.sets.items() if record.role == "generated"}
    told = {name: print_ for c in evidence for name, print_ in c.fingerprints.items() if name in known}
    if not told:
        raise Problem(
            "the evidence knows none of the methods of this study", do="evaluate the same folders, under the same names"
        )
    return [name for name, fingerprint in told.items() if fingerprint != known[name]]


def _numbered(names: Sequence[str]) -> NDArray[np.intp]:
    return np.unique(np.array(names), return_inverse=True)[1].astype(np.intp)


def _tally(images: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the weights of each image's answers."""
    return np.bincount(images, weights).astype(np.float64)


def _exact(hits: int, count: int) -> Value:
    low, high = clopper_pearson(hits, count)
    return Value(value=hits / count if count else math.nan, low=low, high=high)


def _within(value: float, spread: Spread, least: float = -math.inf, most: float = math.inf) -> Value:
    low, high = spread.interval(value)
    return Value(value=value, low=max(low, least), high=min(high, most))
