"""The verdict says what the intervals allow, and nothing stronger."""

import io
import math
import re

import numpy as np
import pytest
from rich.console import Console

from morphogen.evaluation.distances.precision_recall import precision_and_recall
from morphogen.evaluation.feature_table import FeatureTable
from morphogen.evaluation.paired import PairedScore
from morphogen.evaluation.records import Comparison, Diversity, Equivalence, Estimate, Reading, Score
from morphogen.report.notation import number, rounded
from morphogen.report.terminal import print_comparison, print_pairs
from morphogen.report.verdict import Verdict, overall, verdict

FLOOR_SIZE = 0.01


def score(compared, value, half, *, role="generated", metric="kernel distance", features="VGG16", n=64, share=False):
    """A score in units of the floor, which itself is 0.3 [-1, 1.6], or 1 [0.9, 1.1] for a share."""
    size = 1.0 if share else FLOOR_SIZE
    floor = (1.0, 0.9, 1.1) if share else (0.3, -1.0, 1.6)
    return Score(
        metric=metric,
        features=features,
        extractor="hash",
        higher_is_better=share,
        compared=compared,
        role=role,
        estimate=Estimate(
            value=value * size, low=(value - half) * size, high=(value + half) * size, n_measured=n, n_generated=n
        ),
        floor=Estimate(value=floor[0] * size, low=floor[1] * size, high=floor[2] * size, n_measured=n, n_generated=n),
        ratio_to_floor=value,
    )


def table(values):
    return FeatureTable("VGG16", "hash", "images", np.asarray(values, dtype=np.float64), ("s",) * len(values))


def reading(compared, mean, half, *, role="generated", descriptor="porosity", unit="", n=64):
    return Reading(
        descriptor=descriptor, unit=unit, compared=compared, role=role, mean=mean, low=mean - half,
        high=mean + half, spread=4 * half, n=n,
    )  # fmt: skip


def equivalent(compared, descriptor, difference, half, verdict, *, margin=0.02, **more):
    known = difference is not None
    return Equivalence(
        descriptor=descriptor, compared=compared, role="generated", verdict=verdict, margin=margin,
        difference=difference,
        difference_90=(difference - 0.84 * half, difference + 0.84 * half) if known else None,
        difference_95=(difference - half, difference + half) if known else None,
        n_measured=64, n_compared=64, without_measured=0, without_compared=0, interval_unit="field",
        **{"unit": "", **more},
    )  # fmt: skip


def comparison(*scores, readings=(), equivalences=(), diversities=(), notes=()):
    return Comparison(
        specimen="rock",
        measured_fingerprint="a",
        fingerprints={},
        field_px=(64, 64),
        spacing_um=(1.0, 1.0),
        segmentation="up to the grey level 100 (Otsu)",
        phase="pore (dark)",
        interval_unit="field",
        scores=scores,
        readings=tuple(readings),
        equivalences=tuple(equivalences),
        curves=(),
        diversities=tuple(diversities),
        notes=notes,
    )


NOISE = score("noise", 210, 20, role="noise")


def said(v: Verdict) -> str:
    return " ".join(s.text for s in v.sentences)


def test_clear_best_is_named_with_its_numbers():
    v = verdict(comparison(score("vae", 31, 4), score("ddpm", 3.1, 0.7), score("dcgan", 9, 1.5), NOISE))
    assert v.leaders == ("ddpm",)
    assert v.headline == (
        "Of the three, ddpm is closest to the measured rock by VGG16 kernel distance: it is at 3.1 [2.4, 3.8] times"
        " what two measured sets differ by; dcgan is at 9.0 [7.5, 10.5] and vae is at 31 [27, 35]; noise is at"
        " 210 [190, 230]."
    )


def test_overlap_of_the_best_is_a_tie_and_not_a_ranking():
    v = verdict(comparison(score("ddpm", 3.1, 0.7), score("dcgan", 3.9, 0.6), score("vae", 31, 4)))
    assert v.leaders == ("ddpm", "dcgan")
    assert "cannot be told apart" in v.headline
    assert v.headline.startswith("Neither of ddpm and dcgan can be called closest")
    assert "ddpm is closest" not in said(v)


def test_touching_intervals_are_not_told_apart_and_a_gap_is():
    assert len(verdict(comparison(score("a", 3.0, 0.5), score("b", 4.0, 0.5))).leaders) == 2
    assert len(verdict(comparison(score("a", 3.0, 0.5), score("b", 4.01, 0.5))).leaders) == 1


def test_order_of_the_records_does_not_change_the_verdict():
    scores = [score("vae", 31, 4), score("ddpm", 3.1, 0.7), score("dcgan", 9, 1.5)]
    assert verdict(comparison(*scores)).headline == verdict(comparison(*scores[::-1])).headline


def test_no_difference_from_measured_is_said_with_its_sample_and_not_as_equality():
    v = verdict(comparison(score("ddpm", 1.2, 0.6, n=40), score("vae", 9, 1, n=40)))
    (text,) = v.about("controls")
    assert "found no difference with 40 fields each" in text
    assert "does not show that there is none" in text
    assert v.still_differ == ()


def test_difference_from_measured_that_remains_is_said():
    v = verdict(comparison(score("ddpm", 3.1, 0.7), score("vae", 9, 1)))
    assert v.about("controls") == ("ddpm still differs from measured images by VGG16 kernel distance.",)
    assert overall({"rock": v}, "a minute").endswith(
        "By the same measure, even the closest images of rock still differ from measured ones."
    )


def test_closer_than_measured_to_measured_is_a_warning_of_copies():
    v = verdict(comparison(score("ddpm", -2.0, 0.3), score("vae", 9, 1)))
    assert "as copies would be" in " ".join(v.about("controls"))


def test_method_no_closer_than_another_specimen_is_not_praised():
    v = verdict(comparison(score("ddpm", 6, 1), score("vae", 30, 4), score("rock 2", 6.5, 1, role="another"), NOISE))
    assert "ddpm and vae are not shown to be closer than images of another specimen" in said(v)
    w = verdict(comparison(score("ddpm", 3, 1), score("vae", 30, 4), score("rock 2", 6.5, 1, role="another"), NOISE))
    assert "vae is not shown to be closer than images of another specimen" in said(w)


def test_contradiction_between_measures_is_said():
    v = verdict(
        comparison(
            score("ddpm", 3, 0.5),
            score("vae", 30, 4),
            score("ddpm", 20, 2, metric="Frechet distance"),
            score("vae", 5, 1, metric="Frechet distance"),
        )
    )
    assert v.leaders == ("ddpm",)
    assert v.contradicted
    (text,) = v.about("agreement")
    assert text.startswith("Frechet distance (VGG16) says otherwise: it puts vae at 5.0")
    assert "On rock, some other measures put another method first." in overall({"rock": v}, "")
    assert v.gist == "ddpm is closest by VGG16 kernel distance; some other measures say otherwise."


def test_agreement_and_undecided_measures_are_told_apart():
    v = verdict(
        comparison(
            score("ddpm", 3, 0.5),
            score("vae", 30, 4),
            score("ddpm", 2, 0.5, metric="Frechet distance"),
            score("vae", 9, 1, metric="Frechet distance"),
            score("ddpm", 0.8, 0.1, metric="precision", share=True),
            score("vae", 0.85, 0.1, metric="precision", share=True),
        )
    )
    assert v.about("agreement") == (
        "Frechet distance (VGG16) says the same.",
        "Precision (VGG16) cannot tell vae and ddpm apart.",
    )
    assert not v.contradicted


def test_higher_is_better_turns_the_order():
    v = verdict(
        comparison(
            score("ddpm", 3, 0.5),
            score("vae", 30, 4),
            score("ddpm", 0.2, 0.1, metric="recall", share=True),
            score("vae", 0.8, 0.1, metric="recall", share=True),
        )
    )
    assert v.about("agreement")[0].startswith("Recall (VGG16) says otherwise: it puts vae at 0.80")


def test_measure_that_takes_noise_for_measured_images_names_nobody():
    blind = [score("ddpm", 1.1, 0.5), score("vae", 9, 1), score("noise", 1.0, 0.5, role="noise")]
    v = verdict(comparison(*blind))
    assert v.leaders == ()
    assert "None can be called closest" in v.headline
    seeing = [score(s.compared, r, 1, role=s.role, features="other") for s, r in zip(blind, (20, 3, 90), strict=True)]
    w = verdict(comparison(*blind, *seeing))
    assert w.leaders == ("vae",)
    assert "kernel distance (VGG16) cannot tell measured images from noise" in said(w).replace("Kernel", "kernel")


def test_physics_is_judged_by_equivalence_and_in_its_own_units():
    tests = [
        equivalent("ddpm", "porosity", -0.004, 0.006, "equivalent"),
        equivalent("ddpm", "correlation length", 1.2, 3.0, "undecided", unit="µm", margin=2.0, fields_needed=340),
        equivalent("vae", "porosity", 0.062, 0.016, "different"),
        equivalent(
            "vae", "correlation length", 0.1, 0.5, "equivalent", unit="µm", margin=2.0, distribution_differs=True
        ),
    ]
    v = verdict(comparison(score("ddpm", 3, 0.5), score("vae", 30, 4), equivalences=tests))
    ddpm, vae = v.about("physics")
    assert ddpm == (
        "ddpm: 1 of 2 descriptors are equivalent to the measured ones (porosity); these fields cannot decide"
        " correlation length; about 340 fields of each set would decide it."
    )
    assert vae == (
        "vae: 1 of 2 descriptors are equivalent to the measured ones (correlation length); its porosity is 0.062"
        " [0.046, 0.078] above the measured one (margin 0.02); in correlation length its fields vary otherwise than"
        " measured ones, though the means agree."
    )


def test_most_of_many_descriptors_are_counted_and_the_farthest_named_with_numbers():
    tests = [equivalent("ddpm", f"reading {k}", -0.1 * k, 0.01, "different") for k in range(1, 8)]
    tests.append(
        equivalent("ddpm", "euler", None, 0, "different", reason="42 % of its fields have none, of measured 1 %")
    )
    (text,) = verdict(comparison(score("ddpm", 3, 0.5), score("vae", 30, 4), equivalences=tests)).about("physics")
    assert text.startswith("ddpm: none of 8 descriptors is shown to be equivalent to the measured ones; euler (42 % of")
    assert "its reading 7 is 0.700 [0.690, 0.710] below the measured one" in text
    assert "and 5 more differ" in text
    assert "reading 1" not in text


def test_physics_against_the_distances_is_said_in_the_headline_and_wherever_closest_is():
    readings = [
        equivalent("ddpm", "porosity", 0.06, 0.01, "different"),
        equivalent("vae", "porosity", 0, 0.01, "equivalent"),
    ]
    v = verdict(comparison(score("ddpm", 3, 0.5), score("vae", 30, 4), equivalences=readings))
    assert v.headline.startswith("Of the two, ddpm is closest to the measured rock by VGG16 kernel distance")
    assert v.headline.endswith(
        " The descriptors say otherwise: a difference from measured images beyond the margin was found in 1 of 1"
        " for ddpm, but in 0 of 1 for vae."
    )
    assert v.outdone_by == ("vae",)
    assert v.gist == "ddpm is closest by VGG16 kernel distance; the descriptors say otherwise."
    assert (
        "On rock, the closest images differ from measured ones in more descriptors than those of another method."
        in overall({"rock": v}, "")
    )
    agreeing = verdict(comparison(score("ddpm", 30, 4), score("vae", 3, 0.5), equivalences=readings))
    assert agreeing.gist == "vae is closest by VGG16 kernel distance."
    assert "escriptors" not in agreeing.headline + overall({"rock": agreeing}, "")


def test_kid_names_the_closest_as_a_kernel_distance_does():
    scores = [
        *(score(name, value, 0.5, metric="FID", features="Inception pool3") for name, value in (("a", 2), ("b", 9))),
        *(score(name, value, 0.5, metric="KID", features="Inception pool3") for name, value in (("a", 9), ("b", 2))),
    ]
    v = verdict(comparison(*scores))
    assert v.leaders == ("b",)
    assert v.gist == "b is closest by KID; some other measures say otherwise."


def test_a_share_of_zero_is_not_ranked_below_what_its_sample_could_have_missed():
    """Recalls of 0 of 60 and of 4 of 60 are not told apart, since 0 of 60 may be a share of 0.06."""
    far = 50 + np.arange(60.0)[:, None]
    partly = far.copy()
    partly[:4, 0] = np.linspace(0, 0.03, 4)  # their balls reach to 0.06
    measured = table(np.linspace(0, 1, 60)[:, None])
    recalls = {
        "vae": precision_and_recall(measured=measured, generated=table(far))[1],
        "ddpm": precision_and_recall(measured=measured, generated=table(partly))[1],
    }
    assert recalls["vae"].value == 0 < recalls["ddpm"].low
    assert recalls["ddpm"].value == 4 / 60
    share = {
        name: Score(
            metric="recall", features="VGG16", extractor="hash", higher_is_better=True, compared=name,
            role="generated", estimate=e, floor=score("f", 1, 0.1, share=True).floor, ratio_to_floor=e.value,
        )
        for name, e in recalls.items()
    }  # fmt: skip
    v = verdict(comparison(score("vae", 3, 0.5), score("ddpm", 30, 4), *share.values()))
    assert v.about("agreement") == ("Recall (VGG16) cannot tell ddpm and vae apart.",)


@pytest.mark.parametrize(("higher", "values"), [(True, (0.2, 0.41)), (False, (0.61, 0.4))])
def test_lost_variety_is_said_in_either_direction_of_the_measure(higher, values):
    diversities = [
        Diversity(
            metric="LPIPS", compared=name, role=role, higher_is_more_diverse=higher,
            estimate=Estimate(value=v, low=v - 0.02, high=v + 0.02, n_measured=64, n_generated=64),
        )
        for name, role, v in (
            ("measured", "measured", 0.4), ("vae", "generated", values[0]), ("ddpm", "generated", values[1])
        )
    ]  # fmt: skip
    v = verdict(comparison(score("ddpm", 3, 0.5), score("vae", 30, 4), diversities=diversities))
    less, same = v.about("variety")
    assert less.startswith("Images of vae (")
    assert "vary less among themselves" in less
    assert "images of ddpm vary, no difference from measured ones was found with 64 fields each" in same


def test_small_samples_are_said_and_large_ones_are_not():
    small = verdict(comparison(score("ddpm", 3, 0.5, n=12), score("vae", 30, 4, n=12)))
    assert "12 fields, fewer than 30" in " ".join(small.about("caution"))
    assert "small samples" in overall({"rock": small}, "")
    large = verdict(comparison(score("ddpm", 3, 0.5, n=30), score("vae", 30, 4, n=30)))
    assert large.about("caution") == ()
    assert "small samples" not in overall({"rock": large}, "")


def test_diverged_method_is_noted():
    found = comparison(score("ddpm", 3, 0.5), score("dcgan", 30, 4))
    v = verdict(found, {"dcgan": "training diverged at step 1204.", "ddpm": ""})
    assert v.about("caution") == ("dcgan: training diverged at step 1204.",)


def test_set_without_a_value_is_left_out_and_named():
    v = verdict(comparison(score("ddpm", 3, 0.5), score("vae", math.nan, 0.1), score("dcgan", 9, 1)))
    assert v.leaders == ("ddpm",)
    assert "has no value for vae" in " ".join(v.about("caution"))


def test_single_method_is_not_called_closest():
    v = verdict(comparison(score("ddpm", 3, 0.5), NOISE))
    assert v.headline.startswith("ddpm is the only method")
    assert "closest" not in said(v)


def test_no_word_is_stronger_than_the_evidence():
    readings = [reading("measured", 0.24, 0.02, role="measured"), reading("ddpm", 0.24, 0.02)]
    v = verdict(comparison(score("ddpm", 0.2, 1), score("vae", 0.3, 1), NOISE, readings=readings))
    for word in ("realistic", "indistinguishable", "identical", "equivalent", "significant", "proves", "the same as"):
        assert word not in said(v).lower()


def test_overall_names_ties_and_wins_by_specimen():
    win = verdict(comparison(score("ddpm", 3, 0.5), score("vae", 30, 4)))
    tie = verdict(comparison(score("ddpm", 3, 0.5), score("vae", 3.4, 0.5)))
    text = overall({"rock": win, "fiber": win, "root": tie}, "ten minutes for each method")
    assert text.startswith(
        "With ten minutes for each method and judged by VGG16 kernel distance, ddpm came closest to the measured"
        " images of rock and fiber; on root, ddpm and vae cannot be told apart."
    )
    assert tie.gist == "ddpm and vae cannot be told apart by VGG16 kernel distance."


def test_overall_names_the_measure_of_each_specimen_where_they_differ():
    one = verdict(comparison(score("ddpm", 3, 0.5), score("vae", 30, 4)))
    other = verdict(
        comparison(score("ddpm", 3, 0.5, features="descriptors"), score("vae", 30, 4, features="descriptors"))
    )
    assert overall({"rock": one, "root": other}, "").startswith(
        "Judged by VGG16 kernel distance on rock and kernel distance of descriptors on root, ddpm came closest to"
    )


def test_terminal_fits_a_hundred_columns_and_prints_names_as_they_are():
    out = io.StringIO()
    name = "runs/[red]a folder with a very long name[/red]/dcgan-2026-11-22"
    readings = [reading("measured", 0.24, 0.02, role="measured"), reading(name, 0.4, 0.02)]
    print_comparison(
        comparison(score(name, 3.1, 0.7), score("vae", 31, 4), NOISE, readings=readings), Console(file=out, width=100)
    )
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "3.1 [2.4, 3.8]" in text
    assert "[red]a" in re.sub(r"\s+", " ", text)
    assert "…" not in text


def test_terminal_shows_the_floor_of_each_set_at_its_own_number_of_fields():
    few = score("dcgan", 9, 1.5, n=20).model_copy(
        update={"floor": Estimate(value=0.0471, low=0.01, high=0.09, n_measured=64, n_generated=20)}
    )
    out = io.StringIO()
    print_comparison(comparison(score("vae", 31, 4), few, NOISE), Console(file=out, width=100))
    rows = {line.split()[0]: line for line in out.getvalue().splitlines() if line[:5] in ("vae  ", "dcgan")}
    assert "0.0471" in rows["dcgan"]
    assert "0.003 " in rows["vae"]
    said = " ".join(out.getvalue().split())
    assert "The interval of a ratio takes the size of the floor as known." in said


def pairs(count, metrics=("SSIM", "LPIPS (AlexNet)")):
    return [
        PairedScore(pair=f"slice {i}", specimen="s", metric=m, higher_is_more_similar=m == "SSIM", value=0.1234 + i)
        for m in metrics
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 60])
def test_terminal_prints_every_pair_and_means_only_of_several(count):
    out = io.StringIO()
    print_pairs(pairs(count), Console(file=out, width=100))
    lines = out.getvalue().splitlines()
    assert sum(line.strip().startswith("slice ") for line in lines) == count
    assert sum(number(count - 1 + 0.1234) in line for line in lines if "slice " in line) == 1
    assert ("Means over all pairs" in out.getvalue()) is (count > 1)


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.23612, 0.2213, 0.2509, "0.236 [0.221, 0.251]"),
        (3.12, 2.44, 3.91, "3.1 [2.4, 3.9]"),
        (39411.0, 38599.0, 40255.0, "39,400 [38,600, 40,300]"),
        (1.23e-5, 1.01e-5, 1.47e-5, "1.23 [1.01, 1.47] × 10⁻⁵"),
        (-0.0004, -0.0021, 0.0013, "−0.0004 [−0.0021, 0.0013]"),
        (0.0, 0.0, 0.0, "0 [0, 0]"),
        (1.0, 0.5, math.inf, "1.00 [0.50, ∞]"),
        (math.nan, math.nan, math.nan, "unknown [unknown, unknown]"),
    ],
)
def test_numbers_have_the_digits_that_their_interval_deserves(value, low, high, text):
    assert str(rounded(value, low, high)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(2_212_433, "2,212,433"), (0.0011312, "0.00113"), (0.1, "0.1"), (5.3, "5.3"), (28122.5, "28,122"), (-1.5, "−1.5")],
)
def test_numbers_without_an_interval_have_three_digits(value, text):
    assert number(value) == text
