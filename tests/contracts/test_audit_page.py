"""The matrix of an audit and its page say what the records say."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from morphogen.audit.records import AtSize, Audit, Cell, DefectRecord, MetricRecord
from morphogen.images.picture import Origin, Picture
from morphogen.report.audit_figure import audit_figure, audit_png
from morphogen.report.audit_page import alarms, in_words, lead, write_audit_page

METRICS = {  # family, standard, and the rank of the smallest severity that it sees of each defect; None for none
    "SSIM of random pairs": ("paired similarity", True, (None, 2, None)),
    "kernel distance over VGG16 relu5_3 mean, no resize": ("set distance", True, (None, 0, None)),
    "porosity": ("descriptor", False, (0, None, 0)),
    "noise level": ("descriptor", False, (None, 0, None)),
}
DEFECTS = {
    "pores closed": ("% of the porosity", (2.0, 5.0, 10.0), False),
    "blur": ("px", (0.5, 1.0, 2.0), False),
    "grey level shifted": ("% of the grey range", (1.0, 2.0), True),
}


def at(n, severities, rank, *, better=False):
    seen = None if rank is None else severities[rank]
    power = [0.03] + [0.95 if seen is not None and s >= seen else 0.04 for s in severities]
    sign = -1 if better else 1
    return AtSize(
        n=n, floor_mean=1.0, floor_deviation=0.1, floor_low=0.8, floor_high=1.2,
        scores=tuple(1.0 + 0.1 * k for k in range(len(power))),
        in_floor_units=tuple(sign * 1.5 * k for k in range(len(power))),
        power=tuple(power), rank_correlation=0.5, smallest_seen=seen,
    )  # fmt: skip


@pytest.fixture
def audit() -> Audit:
    cells = []
    for name, (_, _, ranks) in METRICS.items():
        for (defect, (_, severities, _)), rank in zip(DEFECTS.items(), ranks, strict=True):
            better = name.startswith("SSIM")
            more = rank if rank is None else max(0, rank - 1)
            found = (at(64, severities, rank, better=better), at(256, severities, more, better=better))
            cells.append(Cell(metric=name, defect=defect, at=found))
    return Audit(
        kind="rock", source="rock phantoms", fingerprint="abc", field_px=(64, 64), spacing_um=(2.0, 2.0),
        segmentation="up to the grey level 94 (Otsu)", fields=1024, sizes=(64, 256), draws=100, floor_draws=200, seed=3,
        metrics=tuple(
            MetricRecord(name=n, family=f, features="x", standard=s, higher_is_better=False, two_sided=False)
            for n, (f, s, _) in METRICS.items()
        ),
        defects=tuple(
            DefectRecord(name=n, unit=u, severities=s, definition="Something <b>bad</b>.", harmless=h)
            for n, (u, s, h) in DEFECTS.items()
        ),
        cells=tuple(cells),
    )  # fmt: skip


def test_the_findings_are_told_in_words(audit):
    pores, blur = audit.who_sees()
    assert in_words(audit, pores) == "seen by porosity; missed by every metric that papers report."
    assert in_words(audit, blur) == (
        "seen by noise level; missed by SSIM of random pairs; at its gravest rewarded by SSIM of random pairs."
    )
    assert alarms(audit) == ["grey level shifted (1, 2 % of the grey range): porosity raises an alarm."]
    text = lead(audit)
    assert "see the smallest damage of 2 of 2 kinds" in text
    assert "kernel distance over VGG16 does best: it sees one" in text
    assert "None of them sees that of one kind." in text
    assert "SSIM of random pairs under blur" in text
    blind = lead(audit.model_copy(update={"defects": (audit.defects[0], audit.defects[2])}))
    assert "Of the two metrics that papers report, none sees that of any kind." in blind
    assert "None of them" not in blind


def test_the_darkest_cells_are_those_that_see_the_smallest_damage(audit):
    figure = str(audit_figure(audit))
    darkest, palest = (figure.count(f"var(--seen-{k})") for k in (4, 1))
    bars, legend = len(METRICS), 1
    assert darkest == 3 + bars + legend  # three cells see the smallest, with few images as with many
    assert palest == 1 + legend  # SSIM sees the gravest blur only with 64 images ...
    assert figure.count("var(--seen-2)") == 1 + legend  # ... and more of it with 256
    assert figure.count("var(--series-5)") == 1 + 1  # one false alarm, and the legend
    for name in [*DEFECTS, "porosity", "kernel distance over VGG16"]:
        assert name in figure
    assert "#fe" not in figure  # no placeholder is left


def test_the_file_is_in_the_same_colours_on_white(audit):
    drawn = np.asarray(Image.open(io.BytesIO(audit_png(audit))).convert("RGB")).reshape(-1, 3)
    colours = {tuple(c) for c in np.unique(drawn, axis=0).tolist()}
    assert (255, 255, 255) in colours
    assert (0x0B, 0x3C, 0x6F) in colours
    assert not any(red == 0xFE and green in range(0x01, 0x30) and blue == 0 for red, green, blue in colours)


def test_the_page_holds_everything_and_asks_for_nothing(audit, tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (1, 16, 16)).astype("uint8")
    field = Picture(grey, (2.0, 2.0), Origin("s"))
    page = write_audit_page(
        audit, {"pores closed": [field] * 4, "blur": [field] * 4}, tmp_path / "audit", command="morphogen audit rock",
        seconds=75.0, version="0.1.0",
    )  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert sorted(p.name for p in page.parent.iterdir()) == ["audit-brief.png", "audit.json", "audit.png", "index.html"]
    assert not re.search(r'(src|href)="(?!data:|#|audit\.)', text)
    assert text.count("data:image/png") == 8
    assert "Something &lt;b&gt;bad&lt;/b&gt;." in text
    assert "1 min 15 s" in text
    for cell in audit.cells:
        for found in cell.at:
            assert f'value="{found.rank_correlation!r}"' in text
    assert Audit.load(page.parent / "audit.json") == audit
