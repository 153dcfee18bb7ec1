"""The page: whole in one file, true to its records, safe against what people type."""

import base64
import io
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from morphogen.evaluation.records import (
    Comparison,
    Curve,
    Diversity,
    Equivalence,
    Estimate,
    Reading,
    Record,
    Score,
)
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.problems import Problem
from morphogen.report.page import write_page
from morphogen.report.study_record import CurvePoint, MethodRecord, SpecimenRecord, StudyRecord

N = 64
METHODS = {"vae": "Variational autoencoder", "dcgan": "Deep convolutional GAN", "ddpm": "Denoising diffusion"}
FARNESS = {"vae": 31.4, "dcgan": 9.13, "ddpm": 3.07, "rock 2": 6.21, "noise": 214.0, "identity": -0.46}
ROLES = dict.fromkeys(METHODS, "generated") | {"rock 2": "another", "noise": "noise", "identity": "identity"}


def field(generator, name="rock", size=64, blur=3.0, channels=1, dtype="uint16", spacing=5.3):
    """Grains of about the size of ``blur``, or noise where it is 0."""
    height = width = size
    smooth = ndimage.gaussian_filter(generator.normal(size=(height, width)), blur, mode="wrap")
    smooth = (smooth - smooth.mean()) / smooth.std()
    grey = ndimage.gaussian_filter(np.where(smooth > 0.5, 0.2, 0.75), 0.7) if blur else 0.5 + 0.2 * smooth
    grey = np.clip(grey + 0.03 * generator.normal(size=grey.shape), 0, 1)
    pixels = np.stack([grey ** (1 + 0.3 * c) for c in range(channels)]) * np.iinfo(dtype).max
    return Picture(pixels.astype(dtype), (spacing, spacing), Origin(name))


def image_sets(channels=1, dtype="uint16", spacing=5.3) -> dict[str, ImageSet]:
    blurs = {"measured": 3.0, "vae": 6.0, "dcgan": 2.0, "ddpm": 2.8, "rock 2": 4.5, "noise": 0.0}
    return {
        name: Pictures(
            [
                field(np.random.default_rng([k, i]), name, blur=blur, channels=channels, dtype=dtype, spacing=spacing)
                for i in range(12)
            ],
            name,
        )
        for k, (name, blur) in enumerate(blurs.items())
    }


def scores(farness=FARNESS, n=N) -> Iterator[Score]:
    for metric, features, floor_size in (
        ("kernel distance", "VGG16 relu5_3", 0.00123),
        ("kernel distance", "descriptors", 0.0871),
        ("Frechet distance", "VGG16 relu5_3", 1.87),
    ):
        for k, (name, ratio) in enumerate(farness.items()):
            ratio = 1 + (ratio - 1) * 0.3 if metric.startswith("Frechet") else ratio * (1 + 0.07 * k)
            half = 0.22 * abs(ratio) + 0.3
            yield Score(
                metric=metric,
                features=features,
                extractor="0a1b2c3d4e5f6071",
                higher_is_better=False,
                compared=name,
                role=ROLES[name],
                estimate=Estimate(
                    value=ratio * floor_size,
                    low=(ratio - half) * floor_size,
                    high=(ratio + half) * floor_size,
                    n_measured=n,
                    n_generated=n,
                ),
                floor=Estimate(
                    value=0.3 * floor_size, low=-1.2 * floor_size, high=1.8 * floor_size, n_measured=n, n_generated=n
                ),
                ratio_to_floor=ratio,
            )
    for metric, values in (("precision", (0.41, 0.62, 0.83)), ("recall", (0.18, 0.44, 0.78))):
        for name, value in zip(farness, (*values, 0.6, 0.0, 1.0), strict=True):
            low, high = max(0.0, value - 0.11), min(1.0, value + 0.10)
            yield Score(
                metric=metric,
                features="VGG16 relu5_3",
                extractor="0a1b2c3d4e5f6071",
                higher_is_better=True,
                compared=name,
                role=ROLES[name],
                estimate=Estimate(value=value, low=low, high=high, n_measured=n, n_generated=n),
                floor=Estimate(value=0.86, low=0.77, high=0.94, n_measured=n, n_generated=n),
                ratio_to_floor=value / 0.86,
            )


def readings(n=N) -> Iterator[Reading]:
    sets = {"measured": "measured", **ROLES}
    shifts = {"measured": 0.0, "vae": 3.2, "dcgan": -1.3, "ddpm": -0.4, "rock 2": 2.1, "noise": -4.0, "identity": 0.0}
    for descriptor, unit, centre, half in (
        ("porosity", "", 0.2413, 0.0149),
        ("correlation length", "µm", 31.27, 1.13),
        ("two-point correlation at 4 px", "", 0.1422, 0.0113),
        ("grey level mean", "grey level", 39411.0, 812.0),
        ("grey level standard deviation", "grey level", 15120.0, 433.0),
        ("grey level skewness", "", -0.914, 0.061),
    ):
        for name, role in sets.items():
            if name == "noise" and unit == "µm":
                yield Reading(
                    descriptor=descriptor,
                    unit=unit,
                    compared=name,
                    role=role,
                    mean=None,
                    low=None,
                    high=None,
                    spread=None,
                    n=n,
                    invalid="no structure was found in any field",
                )
                continue
            mean = centre + shifts[name] * half * 1.3
            yield Reading(
                descriptor=descriptor, unit=unit, compared=name, role=role, mean=mean, low=mean - half,
                high=mean + 1.04 * half, spread=4.1 * half, n=n,
            )  # fmt: skip


def curves(n=N) -> Iterator[Curve]:
    r = np.arange(33) * 5.3
    for name, length, phi in (
        ("measured", 30.0, 0.24), ("vae", 52.0, 0.29), ("dcgan", 21.0, 0.22), ("ddpm", 28.0, 0.236),
        ("rock 2", 40.0, 0.27), ("noise", 1.0, 0.24),
    ):  # fmt: skip
        y = phi**2 + (phi - phi**2) * np.exp(-r / length)
        half = 0.015 + 0.01 * (r / r[-1])
        yield Curve(
            descriptor="two-point correlation", x_name="lag", x_unit="µm", y_unit="", compared=name,
            role={"measured": "measured", **ROLES}[name], x=tuple(r.tolist()), mean=tuple(y.tolist()),
            low=tuple((y - half).tolist()), high=tuple((y + half).tolist()), n=n,
        )  # fmt: skip


def equivalences(n=N) -> Iterator[Equivalence]:
    """Three verdicts, an invalid reading, and one that most fields of a set lack."""
    for turn, (name, role) in enumerate(ROLES.items()):
        if role not in ("generated", "another"):
            continue
        half, difference = 0.011 + 0.003 * turn, (0.002, 0.071, -0.018, 0.034)[turn % 4]
        yield Equivalence(
            descriptor="porosity", unit="", compared=name, role=role, margin=0.0213,
            verdict=("equivalent", "different", "undecided", "different")[turn % 4],
            distribution_differs=turn == 0, difference=difference,
            difference_90=(difference - 0.8 * half, difference + 0.8 * half),
            difference_95=(difference - half, difference + half),
            wasserstein=Estimate(value=0.0131, low=0.0101, high=0.0177, n_measured=n, n_generated=n),
            natural_spread=0.0094, natural_spread_high=0.0155,
            ratio=Estimate(value=1.394, low=1.074, high=1.883, n_measured=n, n_generated=n),
            fields_needed=730 if turn % 4 == 2 else None, n_measured=n, n_compared=n,
            without_measured=0.0, without_compared=0.0, interval_unit="field",
        )  # fmt: skip
        yield Equivalence(
            descriptor="cluster length", unit="µm", compared=name, role=role, verdict="different",
            reason="71 % of the fields have no cluster, of the measured ones 2 %", n_measured=n - 1, n_compared=9,
            without_measured=0.021, without_compared=0.713, interval_unit="field",
        )  # fmt: skip


def diversities(n=N) -> Iterator[Diversity]:
    values = {"measured": 0.412, "vae": 0.287, "dcgan": 0.379, "ddpm": 0.405, "rock 2": 0.42, "noise": 0.11}
    for name, value in values.items():
        yield Diversity(
            metric="LPIPS (AlexNet)",
            compared=name,
            role={"measured": "measured", **ROLES}[name],
            higher_is_more_diverse=True,
            estimate=Estimate(value=value, low=value - 0.017, high=value + 0.018, n_measured=n, n_generated=n),
        )


def comparison(spacing=5.3, n=N) -> Comparison:
    return Comparison(
        specimen="rock",
        measured_fingerprint="a1a1a1a1a1a1a1a1",
        fingerprints={"floor": "b2b2b2b2b2b2b2b2", "ddpm": "c3c3c3c3c3c3c3c3"},
        field_px=(64, 64),
        spacing_um=(spacing, spacing),
        segmentation="up to the grey level 28122.5 (Otsu)",
        phase="pore (dark)",
        interval_unit="field",
        scores=tuple(scores(n=n)),
        readings=tuple(readings(n)),
        equivalences=tuple(equivalences(n)),
        curves=tuple(curves(n)),
        diversities=tuple(diversities(n)),
        notes=("Only two specimens were measured, so intervals leave out how specimens differ.",),
    )


def methods() -> Iterator[MethodRecord]:
    t = np.linspace(2, 600, 240)
    for k, (name, title) in enumerate(METHODS.items()):
        noise = np.random.default_rng(k).normal(size=(3, len(t))) * 0.04
        parts = {
            "vae": {"reconstruction": 900 * np.exp(-t / 90) + 60, "divergence": 24 * (1 - np.exp(-t / 60)) + 1},
            "dcgan": {"generator": 1.2 + 0.4 * np.sin(t / 60), "discriminator": 0.9 + 0.2 * np.cos(t / 40)},
            "ddpm": {"denoising": 0.9 * np.exp(-t / 60) + 0.11},
        }[name]
        yield MethodRecord(
            method=name,
            title=title,
            settings={"width": 96, "rate": 4e-4, "blocks": (1, 2, 4), "where": "cpu"},
            parameters=(2_212_433, 6_341_122, 16_022_977)[k],
            seconds=600.4 + k,
            images_seen=(233_600, 41_280, 24_800)[k],
            steps=(14_600, 2_580, 775)[k],
            peak_memory_mib=(412.5, 611.25, 1893.0)[k],
            seconds_per_image=(0.00113, 0.0021, 0.2713)[k],
            device="CPU, 2 threads",
            note="the loss became infinite at step 1204 and training stopped" if name == "dcgan" else "",
            curve=tuple(
                CurvePoint(
                    seconds=float(s),
                    images_seen=int(50 * s),
                    losses={p: float(v[i] * (1 + noise[j, i])) for j, (p, v) in enumerate(parts.items())},
                )
                for i, s in enumerate(t)
            ),
        )


def specimen_record(name="rock", spacing=5.3, n=N) -> SpecimenRecord:
    return SpecimenRecord(
        name=name,
        kind="rock",
        about="Micro-CT slices of a carbonate, as they came from the scanner.",
        images="carbonate_s1",
        training_fields_independent=412.0,
        held_out_fields_independent=96.5,
        crop_px=(64, 64),
        spacing_um=(spacing, spacing),
        split="The upper two thirds of the volume trained, the lower third was held out, 64 slices apart.",
        comparison=comparison(spacing, n),
        methods=tuple(methods()),
    )


def study_record(*specimens: SpecimenRecord, **changes) -> StudyRecord:
    return StudyRecord(
        **{
            "title": "Three methods on a carbonate rock",
            "created": "2026-11-22T19:46:02+00:00",
            "morphogen": "0.1.0",
            "recipe": {"seed": 7, "methods": ["vae", "dcgan", "ddpm"], "crop": 64, "budget": {"minutes": 10}},
            "command": "morphogen study recipes/rock.yaml --out rock",
            "machine": "2 cores, no GPU, Linux",
            "budget": "ten minutes of training",
            "seconds_total": 2514.0,
            "specimens": specimens or (specimen_record(),),
            "notes": ("A demonstration with made-up numbers.",),
            **changes,
        }
    )


@pytest.fixture(scope="module")
def study() -> StudyRecord:
    return study_record(specimen_record(), specimen_record("root scan", spacing=math.nan, n=14))


@pytest.fixture(scope="module")
def page(study, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("study")
    pictures = {"rock": image_sets(), "root scan": image_sets(3, "uint8", math.nan)}
    path = write_page(study, pictures, folder)
    assert sorted(p.name for p in folder.iterdir()) == ["figures", "index.html", "study.json"]
    return path.read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Every element with its attributes, the stack of open ones, and the text."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] != "style":
            self.text += data


def numbers_of(record: Record) -> Iterator[float]:
    """Every number of the records that a reader is to find on the page: all but the points of curves."""
    for value in (getattr(record, name) for name in type(record).model_fields):
        match value:
            case Record() if not isinstance(value, Curve | CurvePoint):
                yield from numbers_of(value)
            case tuple():
                for item in value:
                    if isinstance(item, Record) and not isinstance(item, Curve | CurvePoint):
                        yield from numbers_of(item)
            case bool():
                pass
            case int() | float():
                yield value


def test_page_needs_nothing_but_itself(page):
    for tag, attributes in Elements(page).found:
        assert tag not in {"script", "iframe", "object", "embed", "base"}
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            address = attributes.get(name)
            assert address is None or address.startswith(("#", "data:")) or address == "study.json", address
        assert not any(name.startswith("on") for name in attributes)
    assert "://" not in page
    assert not re.search(r"@import|@font-face|url\((?!#)", page)


def test_links_and_clips_inside_the_page_lead_somewhere(page):
    found = Elements(page).found
    ids = {attributes["id"] for _, attributes in found if "id" in attributes}
    wanted = {a[name][1:] for _, a in found for name in ("href", "xlink:href") if a.get(name, "").startswith("#")}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", page))
    assert {"rock", "root-scan"} <= wanted
    assert wanted <= ids


def test_page_holds_every_number_of_the_records(page, study):
    there = {a["value"] for tag, a in Elements(page).found if tag == "data"}
    wanted = {repr(value) for s in study.specimens for value in numbers_of(s) if math.isfinite(value)}
    assert len(wanted) > 250
    assert wanted <= there


def test_page_holds_no_number_that_is_not_in_the_records(study, tmp_path):
    """Other records, other numbers: nothing is left over from a template."""
    changed = study_record(specimen_record(n=51))
    write_page(changed, {"rock": image_sets()}, tmp_path)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    counts = [a["value"] for tag, a in Elements(page).found if tag == "data" and a["value"] in ("64", "51")]
    assert counts.count("51") > 100
    assert counts.count("64") == 2  # the crop


def test_study_json_reads_back_as_an_equal_record(study, tmp_path):
    known = study_record()
    write_page(known, {"rock": image_sets()}, tmp_path)
    assert StudyRecord.from_json((tmp_path / "study.json").read_text(encoding="utf-8")) == known
    unknown = StudyRecord.from_json(study.to_json())  # a spacing that is NaN comes back as NaN
    assert all(map(math.isnan, unknown.specimens[1].spacing_um))
    assert all(map(math.isnan, unknown.specimens[1].comparison.spacing_um))
    assert unknown.to_json() == study.to_json()


def test_images_are_the_pixels_of_the_set_on_the_measured_grey_scale(page):
    images = [a["src"] for tag, a in Elements(page).found if tag == "img" and "width" in a]
    assert len(images) == 2 * 6 * 8
    decoded = [np.asarray(Image.open(io.BytesIO(base64.b64decode(src.partition(",")[2])))) for src in images[:8]]
    measured = [picture.pixels[0].astype(float) for picture in image_sets()["measured"]]
    pool = np.concatenate([pixels.ravel() for pixels in measured])
    low, high = np.percentile(pool, (0.1, 99.9))
    expected = [np.rint(255 * np.clip((pixels - low) / (high - low), 0, 1)) for pixels in measured]
    for shown in decoded:
        nearest = min(np.abs(shown - candidate).max() for candidate in expected)
        assert nearest <= 1
    assert len({shown.tobytes() for shown in decoded}) == 8  # no image twice


def test_scale_bar_is_physical_or_says_pixels(page):
    bars = re.findall(r'aria-label="Scale bar of ([^"]+)"', page)
    widths = [float(w) for w in re.findall(r'<span style="width: ([0-9.]+)%">', page)]
    assert bars == ["200 µm", "20 px"]
    assert widths == pytest.approx([100 * 200 / (5.3 * 64), 100 * 20 / 64], abs=1e-3)
    assert "the size of a pixel is unknown" in page


def test_names_are_text_and_never_markup(tmp_path):
    evil = '<script>alert("$x$")</script>&amp;\u202e'
    record = specimen_record()
    rename = lambda entries: tuple(  # noqa: E731
        e.model_copy(update={"compared": evil}) if e.compared == "ddpm" else e for e in entries
    )
    changed = record.comparison.model_copy(
        update={
            name: rename(getattr(record.comparison, name))
            for name in ("scores", "readings", "equivalences", "curves", "diversities")
        }
    )
    methods = tuple(
        m.model_copy(update={"method": evil, "title": evil, "note": evil, "device": evil}) if m.method == "ddpm" else m
        for m in record.methods
    )
    hostile = record.model_copy(
        update={"name": evil, "about": evil, "split": evil, "comparison": changed, "methods": methods}
    )
    sets = {evil if name == "ddpm" else name: images for name, images in image_sets().items()}
    study = study_record(hostile, title=evil, command=evil, notes=(evil,), recipe={evil: evil, "seed": 1})
    path = write_page(study, {evil: sets}, tmp_path)
    page = path.read_text(encoding="utf-8")
    elements = Elements(page)  # also checks that all elements close in order
    assert all(tag != "script" for tag, _ in elements.found)
    assert elements.text.count(evil) > 5
    assert {p.parent.parent for p in tmp_path.rglob("*.png")} == {tmp_path}
    assert StudyRecord.from_json((tmp_path / "study.json").read_text(encoding="utf-8")) == study


def test_colours_are_the_pages_own_so_that_plots_turn_dark(page):
    plots = re.findall(r'<svg class="plot".*?</svg>', page, flags=re.DOTALL)
    assert len(plots) > 20
    for plot in plots:
        assert not re.search(r"#[0-9a-fA-F]{6}|#[0-9a-fA-F]{3}\b(?=[;\"])", plot)
        assert "var(--" in plot


def test_pictures_are_read_aloud(page):
    for tag, attributes in Elements(page).found:
        if tag == "img":
            assert "alt" in attributes
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"


def test_methods_are_called_by_their_titles_and_by_their_names_beside_them(page):
    text = " ".join(Elements(page).text.split())
    assert "Denoising diffusion is closest by VGG16 kernel distance" in text
    assert "ddpm is closest" not in text
    assert page.count("Denoising diffusion<small>ddpm</small>") == 2 * 2  # at the crops and in the table of costs


@pytest.mark.parametrize("title", ["DCGAN", "noise", "vae", ""])
def test_title_that_another_set_has_is_not_used(title, tmp_path):
    """Two sets under one name would be drawn as one."""
    record = specimen_record()
    methods = tuple(
        m.model_copy(update={"title": "DCGAN" if m.method == "dcgan" else title if m.method == "ddpm" else m.title})
        for m in record.methods
    )
    study = study_record(record.model_copy(update={"methods": methods}))
    page = write_page(study, {"rock": image_sets()}, tmp_path).read_text(encoding="utf-8")
    text = " ".join(Elements(page).text.split())
    assert "Of the three, ddpm is closest" in text
    assert ("dcgan is at" in text) is (title == "DCGAN")
    assert StudyRecord.from_json((tmp_path / "study.json").read_text(encoding="utf-8")) == study


def test_page_says_that_ratios_take_the_floor_as_known(page):
    text = " ".join(Elements(page).text.split())
    assert "A bar takes the size of the floor as known: how uncertain the floor itself is, the grey box shows." in text


def test_missing_images_are_a_problem_that_names_them(tmp_path):
    sets = image_sets()
    del sets["dcgan"], sets["vae"]
    with pytest.raises(Problem, match="rock: there are no images of vae"):
        write_page(study_record(), {"rock": sets}, tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_same_records_give_the_same_page(tmp_path):
    pages = [write_page(study_record(), {"rock": image_sets()}, tmp_path / name).read_bytes() for name in ("a", "b")]
    assert pages[0] == pages[1]
