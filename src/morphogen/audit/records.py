"""What an audit found, as records that become JSON and a figure.

A cell holds one metric under one defect. Its scores are given as they are, and as departures from the floor in units
of the floor's standard deviation, because metrics have no common unit.
"""

from pathlib import Path
from typing import Literal

from morphogen.evaluation.records import Record

Family = Literal["paired similarity", "set distance", "diversity", "descriptor", "memorisation", "caption score"]

SEEN = 0.8
"""Share of draws that must lie beyond the floor for a severity to count as seen: the customary power of a test."""

QUIET = 0.1
"""Largest share of false alarms under a harmless change; the floor's own is 0.025 or, two-sided, 0.05."""


class MetricRecord(Record):
    """A metric under audit.

    Attributes:
        name: unique, "Frechet distance over VGG16 relu5_3 mean".
        family: what sort it is.
        features: what it reads, "VGG16 relu5_3 mean, no resize", "pixels", or the unit of a descriptor's reading.
        standard: one of those that papers report (SSIM, LPIPS, distances over network features).
        higher_is_better: direction, None where neither is (diversity).
        two_sided: told from the floor on both sides (values) or above it only (distances).
    """

    name: str
    family: Family
    features: str
    standard: bool
    higher_is_better: bool | None
    two_sided: bool


class DefectRecord(Record):
    """A defect.

    Attributes:
        name: unique, "pores closed".
        unit: of the severities.
        severities: ascending, without 0.
        definition: one sentence.
        harmless: true where metrics should stay quiet.
    """

    name: str
    unit: str
    severities: tuple[float, ...]
    definition: str
    harmless: bool


class AtSize(Record):
    """One metric under one defect at one number of images.

    Attributes:
        n: images of the reference, and of the compared set.
        floor_mean: mean score between clean sets.
        floor_deviation: its standard deviation over draws.
        floor_low: 2.5 % quantile of the floor; None where only high values are told.
        floor_high: 97.5 % quantile of the floor.
        scores: mean over draws, severity 0 first.
        in_floor_units: (score - floor mean) / floor deviation, severity 0 first. Capped at 1000, also where the floor
            does not vary at all.
        power: share of draws whose score lies beyond the floor, severity 0 (its false alarms) first.
        rank_correlation: Spearman's, of score and severity, severity 0 included; mean over draws; 0 where all
            scores of a draw are equal.
        smallest_seen: smallest severity from which on all have a power of ``SEEN``; None where the gravest has not.
    """

    n: int
    floor_mean: float
    floor_deviation: float
    floor_low: float | None
    floor_high: float
    scores: tuple[float, ...]
    in_floor_units: tuple[float, ...]
    power: tuple[float, ...]
    rank_correlation: float
    smallest_seen: float | None


class Cell(Record):
    """One metric under one defect, at every number of images."""

    metric: str
    defect: str
    at: tuple[AtSize, ...]

    def at_size(self, n: int) -> AtSize:
        """The results at a number of images.

        Raises:
            KeyError: the audit was not made with this number.
        """
        for found in self.at:
            if found.n == n:
                return found
        raise KeyError(n)


class BlindSpot(Record):
    """Who sees the smallest severity of a defect, and who does not.

    Attributes:
        defect: its name.
        severity: the smallest one.
        n: number of images.
        missed_by: standard metrics that do not see it.
        rewarded_by: those of them, or others, that call the damaged set *better*, in at least ``SEEN`` of the draws,
            at the gravest severity.
        seen_by: descriptors, and other metrics that are not standard, that see it, the clearest first.
    """

    defect: str
    severity: float
    n: int
    missed_by: tuple[str, ...]
    rewarded_by: tuple[str, ...]
    seen_by: tuple[str, ...]


class Audit(Record):
    """What every metric said of every defect.

    Attributes:
        kind: of specimen.
        source: where the clean images come from, in words.
        fingerprint: of all clean fields.
        field_px: height and width.
        spacing_um: of a pixel, None where unknown.
        segmentation: how the phase was told, in words.
        fields: how many clean fields in all.
        sizes: numbers of images at which metrics were scored.
        draws: how often sets were drawn for each score.
        floor_draws: how often for the floor.
        seed: of everything.
        metrics: in the order of their families.
        defects: real ones first, then the harmless ones.
        cells: one for each metric and defect.
        notes: reservations, in plain sentences.
    """

    kind: str
    source: str
    fingerprint: str
    field_px: tuple[int, int]
    spacing_um: tuple[float | None, float | None]
    segmentation: str
    fields: int
    sizes: tuple[int, ...]
    draws: int
    floor_draws: int
    seed: int
    metrics: tuple[MetricRecord, ...]
    defects: tuple[DefectRecord, ...]
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()

    def cell(self, metric: str, defect: str) -> Cell:
        """One cell.

        Raises:
            KeyError: there is no such metric or defect.
        """
        for cell in self.cells:
            if (cell.metric, cell.defect) == (metric, defect):
                return cell
        raise KeyError((metric, defect))

    def quiet(self, metric: str, defect: str, n: int) -> bool:
        """Whether a metric stays quiet under a harmless change: at most ``QUIET`` alarms at every severity."""
        return max(self.cell(metric, defect).at_size(n).power[1:]) <= QUIET

    def who_sees(self, n: int | None = None) -> tuple[BlindSpot, ...]:
        """For every real defect, who sees its smallest severity and who does not.

        Args:
            n: number of images; the smallest of the audit by default.
        """
        n = self.sizes[0] if n is None else n
        found = []
        for defect in self.defects:
            if defect.harmless:
                continue
            at = {m.name: self.cell(m.name, defect.name).at_size(n) for m in self.metrics}
            sees = {m.name: at[m.name].smallest_seen == defect.severities[0] for m in self.metrics}
            physics = [m.name for m in self.metrics if not m.standard and sees[m.name]]
            found.append(
                BlindSpot(
                    defect=defect.name,
                    severity=defect.severities[0],
                    n=n,
                    missed_by=tuple(m.name for m in self.metrics if m.standard and not sees[m.name]),
                    rewarded_by=tuple(m.name for m in self.metrics if _rewards(m, at[m.name])),
                    seen_by=tuple(sorted(physics, key=lambda name: -at[name].in_floor_units[1])),
                )
            )
        return tuple(found)

    def blind_spots(self, n: int | None = None) -> tuple[BlindSpot, ...]:
        """Defects whose smallest severity is seen, by a descriptor or its like, and missed by a standard metric."""
        return tuple(spot for spot in self.who_sees(n) if spot.seen_by and spot.missed_by)

    def save(self, path: Path) -> None:
        """Write the audit as JSON."""
        path.write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Audit":
        """Read what ``save`` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


def _rewards(metric: MetricRecord, at: AtSize) -> bool:
    if metric.higher_is_better is None or at.power[-1] < SEEN:
        return False
    return (at.in_floor_units[-1] > 0) == metric.higher_is_better
