"""A grammar of edits: an order in words, and the change of a phantom's parameters that fulfils it.

A change is drawn as an exactly paired triple (before, instruction, after): both phantoms are ``coupled``, of one seed
and specimen, so that all that the change does not touch stays where it is, down to the noise of the camera, as far as
the geometry allows. What stays where, by change:

    exactly in place    cement and dissolution of grains, grains added or taken away; fibers thickened, thinned, added,
                        taken away, straightened, tilted; roots thickened, thinned, laterals added or taken away, growth
                        that goes on (an axis tapers along its length, so that it becomes a little thicker behind)
    nearly in place     fibers turned: each starts from the same place, and is pushed aside by others than before
    scaled in place     larger and smaller grains: as many as keep the porosity, each about its place; laterals that
                        stand at another angle: each turned about its base

Each change names the reading of ``evaluation.descriptors`` that has to move, and in which direction. Where an amount is
told ("by a fifth"), it is the factor on what the order names, and the reading follows it by a power: exactly where it
is a parameter (a diameter, a porosity), in the mean over many windows where it follows from one: the mean chord of
pores is 1 / (2 rho E[R]) for grains of radius R, so that a layer c = E[R] (1 / f - 1) on all grains makes it f times as
long (see ``grains``); at one porosity the specific surface goes with 1 / E[R]. What a pair shows in truth is measured
on its exact masks (``instructions.triples``).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.phantoms.instruments.camera import Camera
from morphogen.phantoms.instruments.instrument import PixelType
from morphogen.phantoms.phantom import Phantom, phantom, variation_of
from morphogen.problems import Problem

Parameters = dict[str, float]
Pair = tuple[Parameters, Parameters]
"""Parameters before and after."""

_EDITS = 34  # purpose of the random streams


@dataclass(frozen=True, slots=True)
class Amount:
    """How much, in the places of a sentence where English says it.

    Attributes:
        factor: on what the order names; for parts that are added or taken away the share of them.
        degree: before a comparative, "a little ".
        how: after a verb, " a little".
        by: after a comparative, " by a fifth".
    """

    factor: float
    degree: str = ""
    how: str = ""
    by: str = ""


def _by(factor: float, words: str) -> Amount:
    return Amount(factor, how=f" by {words}", by=f" by {words}")


_SLIGHTLY = ("a little ", " a little"), ("slightly ", " slightly")
MORE = (
    *(Amount(1.15, *words) for words in _SLIGHTLY), Amount(1.3), Amount(1.3), Amount(1.5, "much ", " a lot"),
    _by(1.2, "a fifth"), _by(1.25, "a quarter"), _by(4 / 3, "a third"), _by(1.5, "half"),
)  # fmt: skip
LESS = (
    *(Amount(0.87, *words) for words in _SLIGHTLY), Amount(0.77), Amount(0.77), Amount(0.6, "much ", " a lot"),
    _by(0.8, "a fifth"), _by(0.75, "a quarter"), _by(2 / 3, "a third"), _by(0.5, "half"),
)  # fmt: skip
SOME = (Amount(0.4, "a few ", " a little"), Amount(0.7), Amount(0.7), Amount(0.95, "many ", " a lot"))
"""Shares of parts that are added or taken away, or of what a shape can lose."""


@dataclass(frozen=True, slots=True)
class Change:
    """A named change of the parameters of a kind.

    Attributes:
        name: "pores larger".
        descriptor: file of ``evaluation.descriptors`` whose reading has to move.
        reading: its name.
        direction: 1 if it rises, -1 if it falls.
        orders: ways to ask for it, with places for ``{degree}``, ``{how}`` and ``{by}``.
        parameters: from the parameters of a specimen and a factor to those before and after.
        amounts: factors and their words.
        power: the reading changes by the factor to this power; None where the words tell no size.
        wholes: orders in which a factor has its own words, "twice as thick".
        targets: orders that tell where to, with a place for ``{to}``; of the parameter ``target`` as it was drawn.
        target: that parameter.
        base: ranges of parameters beside those in which specimens of the kind vary.
    """

    name: str
    descriptor: str
    reading: str
    direction: Literal[1, -1]
    orders: tuple[str, ...]
    parameters: Callable[[Parameters, float], Pair]
    amounts: tuple[Amount, ...]
    power: float | None = None
    wholes: Mapping[float, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    targets: tuple[str, ...] = ()
    target: str = ""
    base: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, eq=False)
class Triple:
    """An image, an order, and the image that the order makes of it.

    Attributes:
        change: what was changed.
        factor: by how much, see ``Change``.
        instruction: the order in words.
        before: the phantom as it was; with its exact mask, caption and parameters.
        after: the phantom as it is.
        asked_before: the parameters that were given to the phantom before.
        asked_after: those after.
        seed: of both phantoms, which ``phantom(kind, coupled=True)`` draws again from these.
        specimen: of both.
        kind: of both.
    """

    change: Change
    factor: float
    instruction: str
    before: Phantom
    after: Phantom
    asked_before: Mapping[str, float]
    asked_after: Mapping[str, float]
    seed: int
    specimen: int
    kind: str

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Where the exact masks differ, ``(height, width)``."""
        return np.asarray(self.before.labels != self.after.labels)


def _scaled(name: str) -> Callable[[Parameters, float], Pair]:
    """One parameter times the factor."""
    return lambda base, factor: (base, base | {name: base[name] * factor})


def _cement(base: Parameters, factor: float) -> Pair:
    return base, base | {"cement_um": base["grain_radius_um"] * (1 / factor - 1)}


def _undone(name: str) -> Callable[[Parameters, float], Pair]:
    """What is taken away after packing was there before: 1 - 1 / factor of it."""
    return lambda base, factor: (base | {name: 1 - 1 / factor}, base)


def _share(name: str, *, back: bool = False) -> Callable[[Parameters, float], Pair]:
    """A share of something is lost after packing, or was lost before."""

    def parameters(base: Parameters, factor: float) -> Pair:
        lost = base | {name: factor}
        return (lost, base) if back else (base, lost)

    return parameters


def _kept(*, more: bool) -> Callable[[Parameters, float], Pair]:
    def parameters(base: Parameters, factor: float) -> Pair:
        fewer = base | {"laterals_kept": 1 - factor}
        return (fewer, base) if more else (base, fewer)

    return parameters


def _turned(before: float, after: float) -> Callable[[Parameters, float], Pair]:
    return lambda base, _: (base | {"lean_direction_deg": before}, base | {"lean_direction_deg": after})


_LEANING = {"lean_deg": (38.0, 44.0), "tilt_spread_deg": (4.0, 8.0), "fiber_volume_fraction": (0.40, 0.48)}
_TILTED = {"tilt_spread_deg": (22.0, 28.0), "fiber_volume_fraction": (0.40, 0.50)}
_BRANCHED = {"lateral_spacing_mm": (1.2, 2.0), "length_density_per_mm": (0.5, 0.65)}
_ONE = (Amount(1.0),)
_LOST = Amount(0.5, "a little ", " a little"), Amount(0.8), Amount(1.0, "much ", " a lot")
_DEGREES = Amount(25.0, "a little ", " a little"), Amount(40.0), Amount(60.0, "much ", " a lot")

CHANGES: Mapping[str, tuple[Change, ...]] = MappingProxyType({
    "rock": (
        Change(
            "porosity higher", "phase_fraction", "porosity", 1,
            ("raise the porosity{how}", "increase the porosity{how}", "make the rock {degree}more porous",
             "make the porosity {degree}higher{by}", "take away grains until the porosity has risen{how}"),
            _scaled("porosity"), MORE, power=1.0,
            wholes={2.0: ("double the porosity", "make the rock twice as porous")},
            targets=("raise the porosity to {to}", "increase the porosity to {to}", "bring the porosity up to {to}"),
            target="porosity",
        ),
        Change(
            "porosity lower", "phase_fraction", "porosity", -1,
            ("lower the porosity{how}", "reduce the porosity{how}", "make the rock {degree}less porous",
             "make the porosity {degree}lower{by}", "add grains until the porosity has fallen{how}"),
            _scaled("porosity"), LESS, power=1.0,
            wholes={0.5: ("halve the porosity", "make the rock half as porous")},
            targets=("lower the porosity to {to}", "reduce the porosity to {to}", "bring the porosity down to {to}"),
            target="porosity",
        ),
        Change(
            "pores larger", "chord_lengths", "mean chord length", 1,
            ("make the pores {degree}larger{by}", "make the pores {degree}wider{by}", "widen the pores{how}",
             "enlarge the pores{how}", "dissolve the grains until the pores are {degree}larger{by}"),
            _cement, tuple(a for a in MORE if a.factor <= 1.5), power=1.0,
        ),
        Change(
            "pores smaller", "chord_lengths", "mean chord length", -1,
            ("make the pores {degree}smaller{by}", "make the pores {degree}narrower{by}", "shrink the pores{how}",
             "narrow the pores{how}", "cement the grains until the pores are {degree}smaller{by}"),
            _cement, tuple(a for a in LESS if a.factor >= 0.74), power=1.0,
        ),
        Change(
            "grains larger", "specific_surface", "specific surface", -1,
            ("make the grains {degree}larger{by}", "make the grains {degree}coarser{by}",
             "coarsen the grains{how} at the same porosity"),
            _scaled("grain_radius_um"), tuple(a for a in MORE if a.factor <= 1.5), power=-1.0,
        ),
        Change(
            "grains smaller", "specific_surface", "specific surface", 1,
            ("make the grains {degree}smaller{by}", "make the grains {degree}finer{by}",
             "shrink the grains{how} at the same porosity"),
            _scaled("grain_radius_um"), tuple(a for a in LESS if a.factor >= 0.6), power=-1.0,
        ),
    ),
    "fiber": (
        Change(
            "fibers thicker", "fiber_sections", "fiber diameter", 1,
            ("thicken the fibers{how}", "make the fibers {degree}thicker{by}",
             "increase the diameter of the fibers{how}"),
            _undone("thinned"), MORE, power=1.0,
            wholes={2.0: ("make the fibers twice as thick", "double the diameter of the fibers")},
        ),
        Change(
            "fibers thinner", "fiber_sections", "fiber diameter", -1,
            ("thin the fibers{how}", "make the fibers {degree}thinner{by}", "reduce the diameter of the fibers{how}"),
            lambda base, factor: (base, base | {"thinned": 1 - factor}), LESS, power=1.0,
            wholes={0.5: ("make the fibers half as thick", "halve the diameter of the fibers")},
        ),
        Change(
            "fibers added", "phase_fraction", "fiber volume fraction", 1,
            ("raise the fiber volume fraction{how}", "add fibers until their volume fraction has risen{how}",
             "make the bundle {degree}denser{by}", "increase the fiber volume fraction{how}"),
            _undone("left_out"), MORE, power=1.0,
            targets=("raise the fiber volume fraction to {to}", "add fibers up to a volume fraction of {to}"),
            target="fiber_volume_fraction",
        ),
        Change(
            "fibers taken away", "phase_fraction", "fiber volume fraction", -1,
            ("lower the fiber volume fraction{how}", "take away fibers until their volume fraction has fallen{how}",
             "reduce the fiber volume fraction{how}"),
            lambda base, factor: (base, base | {"left_out": 1 - factor}), LESS, power=1.0,
            targets=("lower the fiber volume fraction to {to}", "take away fibers down to a volume fraction of {to}"),
            target="fiber_volume_fraction",
        ),
        Change(
            "fibers straightened", "fiber_sections", "fiber aspect ratio", -1,
            ("straighten the fibers{how}", "make the fibers stand {degree}more upright",
             "make the sections of the fibers {degree}rounder"),
            _share("straightened"), _LOST, base=_TILTED,
        ),
        Change(
            "fibers tilted", "fiber_sections", "fiber aspect ratio", 1,
            ("tilt the fibers{how}", "make the fibers lean {degree}more",
             "make the sections of the fibers {degree}longer"),
            _share("straightened", back=True), _LOST, base=_TILTED,
        ),
        Change(
            "fibers turned upwards", "orientation", "orientation cos 2θ", -1,
            ("turn the fibers by a right angle", "turn the fibers so that they lean down the image",
             "make the fibers lean downwards instead of sideways"),
            _turned(0.0, 90.0), _ONE, base=_LEANING,
        ),
        Change(
            "fibers turned sideways", "orientation", "orientation cos 2θ", 1,
            ("turn the fibers by a right angle", "turn the fibers so that they lean across the image",
             "make the fibers lean sideways instead of downwards"),
            _turned(90.0, 0.0), _ONE, base=_LEANING,
        ),
    ),
    "root": (
        Change(
            "roots thicker", "root_diameters", "root diameter mean", 1,
            ("thicken the roots{how}", "make the roots {degree}thicker{by}", "increase the diameter of the roots{how}"),
            lambda base, factor: (base, base | {"thickened": factor}), MORE, power=1.0,
            wholes={2.0: ("make the roots twice as thick", "double the diameter of the roots")},
        ),
        Change(
            "roots thinner", "root_diameters", "root diameter mean", -1,
            ("thin the roots{how}", "make the roots {degree}thinner{by}", "reduce the diameter of the roots{how}"),
            lambda base, factor: (base | {"thickened": 1 / factor}, base), LESS, power=1.0,
            wholes={0.5: ("make the roots half as thick", "halve the diameter of the roots")},
        ),
        Change(
            "laterals added", "root_topology", "branch points per area", 1,
            ("add {degree}lateral roots", "let {degree}lateral roots grow", "add {degree}side roots"),
            _kept(more=True), SOME, base=_BRANCHED,
        ),
        Change(
            "laterals taken away", "root_topology", "branch points per area", -1,
            ("remove {degree}lateral roots", "cut off {degree}lateral roots", "take {degree}side roots away"),
            _kept(more=False), SOME, base=_BRANCHED,
            wholes={1.0: ("remove all lateral roots", "cut off every side root")},
        ),
        Change(
            "roots longer", "root_length", "root length density", 1,
            ("let the roots grow{how}", "make the root system {degree}longer{by}",
             "increase the total length of the roots{how}"),
            _scaled("length_density_per_mm"),
            tuple(replace(a, how=a.how or " on") for a in MORE), power=1.0,
            base={"length_density_per_mm": (0.3, 0.4)},
        ),
        Change(
            "roots shorter", "root_length", "root length density", -1,
            ("shorten the roots{how}", "make the root system {degree}shorter{by}",
             "reduce the total length of the roots{how}"),
            _scaled("length_density_per_mm"), LESS, power=1.0,
        ),
        Change(
            "laterals spread", "root_orientation", "root angle from vertical", 1,
            ("spread the lateral roots{how}", "make the lateral roots stand {degree}further off",
             "widen the angle of the lateral roots{how}"),
            lambda base, factor: (base | {"lateral_angle_deg": 85.0 - factor}, base | {"lateral_angle_deg": 85.0}),
            _DEGREES, base=_BRANCHED,
        ),
        Change(
            "laterals steeper", "root_orientation", "root angle from vertical", -1,
            ("make the lateral roots {degree}steeper", "turn the lateral roots{how} towards the vertical",
             "narrow the angle of the lateral roots{how}"),
            lambda base, factor: (base | {"lateral_angle_deg": 85.0}, base | {"lateral_angle_deg": 85.0 - factor}),
            _DEGREES, base=_BRANCHED,
        ),
    ),
})  # fmt: skip
"""The changes of each kind."""


def changes_of(kind: str, names: tuple[str, ...] = ()) -> tuple[Change, ...]:
    """The changes of a kind, all or those of these names.

    Raises:
        Problem: the kind, or a change of that name, is unknown.
    """
    if kind not in CHANGES:
        raise Problem(f"there are no edits of '{kind}'", do=f"choose one of {', '.join(sorted(CHANGES))}")
    known = {change.name: change for change in CHANGES[kind]}
    for name in names:
        if name not in known:
            raise Problem(f"there is no edit '{name}' of {kind}", do=f"choose among {', '.join(known)}")
    return tuple(known[name] for name in names) if names else CHANGES[kind]


def require_factor(changes: tuple[Change, ...], factor: float) -> None:
    """Refuse a factor that one of the changes never has.

    Raises:
        Problem: it is none of those that its orders tell.
    """
    for change in changes:
        known = sorted({found for _, found in sentences(change)})
        if factor not in known:
            told = ", ".join(f"{found:g}" for found in known)
            raise Problem(f"'{change.name}' never has the factor {factor:g}", do=f"choose one of {told}")


def sentences(change: Change) -> Iterator[tuple[str, float]]:
    """Every order of a change that tells no target, with its factor."""
    for amount in change.amounts:
        for order in change.orders:
            # An amount has to find its place: "more porous by a fifth" would be another sentence.
            words = {"degree": amount.degree, "how": amount.how, "by": amount.by}
            if not any(words.values()) or any(words[place] and f"{{{place}}}" in order for place in words):
                yield order.format(**words), amount.factor
    for factor, orders in change.wholes.items():
        for order in orders:
            yield order, factor


def triple(
    kind: str,
    *,
    seed: int,
    number: int = 0,
    attempt: int = 0,
    names: tuple[str, ...] = (),
    size: tuple[int, int] = (96, 96),
    spacing_um: float | None = None,
    dtype: PixelType = "uint8",
    camera: Camera | None = None,
    factor: float | None = None,
) -> Triple:
    """Triple ``number`` of a kind; it depends on the seed and on its number alone.

    Args:
        kind: "rock", "fiber" or "root".
        seed: of specimens, changes and words.
        number: from 0.
        attempt: another one in its place, where this one does not show what it says.
        names: of the changes to choose from; all of the kind if empty.
        size: height and width in pixels.
        spacing_um: side of a pixel; the kind's own where None.
        dtype: "uint8" or "uint16".
        camera: one camera for both; a clean scan where None.
        factor: of the change, see ``Change``, and an order that tells it; any of the grammar's where None.

    Raises:
        Problem: an unknown kind or change, one that never has that factor, or a window that is too small for it.
    """
    found = changes_of(kind, names)
    if factor is not None:
        require_factor(found, factor)
    random = numpy_generator(seed, _EDITS, number, attempt)
    change = found[int(random.integers(len(found)))]
    base = {
        name: float(random.uniform(*limits)) for name, limits in sorted({**variation_of(kind), **change.base}.items())
    }
    told = [one for one in sentences(change) if factor is None or one[1] == factor]
    words, size_of_change = told[int(random.integers(len(told)))]
    # One in four tells where to, if it can be told.
    target = change.targets[int(random.integers(len(change.targets)))] if change.targets else ""
    to_target = bool(target) and random.random() < 0.25
    asked = change.parameters(base, size_of_change)
    specimen = number + _OTHER * attempt
    before, after = (
        phantom(
            kind, size=size, seed=seed, specimen=specimen, spacing_um=spacing_um, dtype=dtype,
            camera=camera, coupled=True, parameters=parameters,
        )
        for parameters in asked
    )  # fmt: skip
    if to_target:
        words = target.format(to=f"{after.parameters[change.target]:.2f}")
    one, other = (_as_triple(drawn, kind, seed, number) for drawn in (before, after))
    return Triple(change, size_of_change, words, one, other, *asked, seed, specimen, kind)


_OTHER = 1_000_000  # specimens further on, of another attempt


def _as_triple(drawn: Phantom, kind: str, seed: int, number: int) -> Phantom:
    """Both phantoms of a triple show one specimen, under one name."""
    origin = Origin(f"{kind}-{seed}-{number:04d}", f"triple {number:04d} of {kind}, seed {seed}")
    picture: Picture = replace(drawn.picture, origin=origin)
    return replace(drawn, picture=picture)
