"""Phantoms: images whose answer is known, because their geometry was chosen before they were photographed.

Each kind is one file beside this one, known by its ``KIND``. It holds ``KIND``, the name; ``SPACING_UM``, a pixel size
that suits its default parameters; ``VARIATION``, the modest ranges from which ``phantoms`` draws what was not given;
``Settings``, its typed parameters; and ``scene``, which draws exact geometry into a ``Scene``. Lengths are
physical (micrometres or millimetres), so a finer spacing shows more of the same thing. ``SECTION`` says what a scene is
made of, where the scene does not say more: the materials of the background and of the phase of interest. A kind that
has depth also draws a ``Solid`` (see ``solid``).

The random streams of one phantom have the keys (seed, purpose, specimen). Parameters, geometry and camera draw from
streams of their own: another camera, or another instrument, sees the same geometry. ``coupled`` gives every use of
chance in the geometry its own stream too, so that two phantoms of one seed with other parameters differ only in what
the parameters change, as far as the geometry allows. It is not the default, as it gives other phantoms than one stream
does.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol, cast, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import NamedStreams, Source, numpy_generator
from morphogen.phantoms.instruments.camera import Camera
from morphogen.phantoms.instruments.instrument import Instrument, PixelType, Seen, Subject
from morphogen.phantoms.parameters import Parameter, listed_parameters
from morphogen.problems import Problem, as_problem

EMPTY = ""
"""Material of an open pore in ``SECTION``."""

_TOGETHER, _PIXELS = 64, 2**22  # phantoms that go through an instrument at once, and pixels of all of them
_VARIATION, GEOMETRY, CAMERA, _COUPLED = range(30, 34)  # purposes of the random streams, apart from all others


class KindSettings(BaseModel):
    """What the parameters of every kind have in common: frozen, and no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What stands in front of the camera.

    Attributes:
        reflectance: ``(height, width)`` float64 in [0, 1]; a pixel on an edge has the mean of both sides.
        labels: ``(height, width)`` uint8, 1 where the centre of the pixel lies in the phase of interest.
        parameters: what was asked for (``..._asked``) and what was realised.
        caption: one line in words.
        materials: ``(height, width)`` uint8, which material is where, as in a ``Solid``: 0 is empty, k is
            ``names[k - 1]``; None where ``labels`` and the ``SECTION`` of the kind tell it.
        names: of these materials.
        density: ``(height, width)`` over that of the material; None where brightness is all that is known of it.
    """

    reflectance: NDArray[np.float64]
    labels: NDArray[np.uint8]
    parameters: Mapping[str, float]
    caption: str
    materials: NDArray[np.uint8] | None = None
    names: tuple[str, ...] = ()
    density: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """An image with its exact answer.

    Attributes:
        picture: what the instrument saw, one channel, or three of a scanner; its labels hold the caption, the
            parameters, and what the instrument recorded.
        labels: ``(height, width)`` uint8, 1 where the centre of the pixel lies inside the exact geometry
            of the phase of interest (pore, fiber, root), 0 elsewhere.
        parameters: what was asked for (``..._asked``, where the drawing may differ from it) and what was
            realised.
        caption: one line in words, such as "microCT slice of a rock phantom, porosity 0.24, ...".
    """

    picture: Picture
    labels: NDArray[np.uint8]
    parameters: Mapping[str, float]
    caption: str


def phantom_kinds() -> list[str]:
    """The kinds that are known, in alphabetical order."""
    return sorted(_modules())


def variation_of(kind: str) -> Mapping[str, tuple[float, float]]:
    """The modest ranges within which specimens of a kind vary, by parameter.

    Raises:
        Problem: the kind is unknown.
    """
    return module_of(kind).VARIATION


def parameters_of(kind: str) -> tuple[Parameter, ...]:
    """The parameters of a kind.

    Raises:
        Problem: the kind is unknown.
    """
    return listed_parameters(module_of(kind).Settings)


def phantom(
    kind: str,
    *,
    size: tuple[int, int] = (256, 256),
    seed: int,
    specimen: int = 0,
    spacing_um: float | None = None,
    dtype: PixelType = "uint8",
    camera: Instrument | None = None,
    coupled: bool = False,
    parameters: Mapping[str, float | None] | Mapping[str, float] | None = None,
    **more: float | None,
) -> Phantom:
    """One phantom.

    Args:
        kind: "rock", "fiber" or "root".
        size: height and width in pixels.
        seed: non-negative; the same seed, specimen and parameters give the same bytes.
        specimen: running number of the specimen under this seed, from 0.
        spacing_um: height and width of a pixel; the kind's own where None.
        dtype: "uint8" or "uint16".
        camera: the instrument that sees it; a camera that takes a clean scan where None.
        coupled: draw it so that another phantom of this seed and specimen, also coupled, with other parameters is the
            same thing but for what these change.
        parameters: parameters of the kind, see ``parameters_of``; a mapping suits names that a person wrote.
        more: the same, as keywords: ``porosity=0.3``.

    Raises:
        Problem: an unknown kind or parameter, a value out of range, or a window too small for the features.
    """
    drawn = _drawn(kind, size, seed, specimen, spacing_um, dtype, coupled, {**(parameters or {}), **more})
    return _seen([drawn], camera or Camera(), dtype)[0]


def phantoms(
    kind: str,
    *,
    count: int,
    size: tuple[int, int] = (256, 256),
    seed: int,
    vary: bool = True,
    spacing_um: float | None = None,
    dtype: PixelType = "uint8",
    camera: Instrument | None = None,
    parameters: Mapping[str, float | None] | Mapping[str, float] | None = None,
    **more: float | None,
) -> list[Phantom]:
    """Phantoms of several specimens; specimen k depends on (seed, k) alone, not on the count.

    Args:
        kind: "rock", "fiber" or "root".
        count: how many specimens, at least 1.
        size: height and width in pixels.
        seed: non-negative.
        vary: draw the parameters that are not given uniformly from the kind's ``VARIATION``, so that
            specimens differ as real ones do; otherwise they keep their defaults.
        spacing_um: height and width of a pixel; the kind's own where None.
        dtype: "uint8" or "uint16".
        camera: one camera, or another instrument, for all.
        parameters: parameters of the kind that are the same for all specimens, as a mapping.
        more: the same, as keywords.

    Raises:
        Problem: as ``phantom``, or a count below 1.
    """
    if count < 1:
        raise Problem(f"cannot draw {count} phantoms", do="ask for at least 1")
    made: list[Phantom] = []
    together = max(1, min(_TOGETHER, _PIXELS // max(size[0] * size[1], 1)))
    for first in range(0, count, together):
        drawn = []
        for specimen in range(first, min(first + together, count)):
            varied = varied_parameters(kind, seed, specimen) if vary else {}
            asked = {**varied, **(parameters or {}), **more}
            drawn.append(_drawn(kind, size, seed, specimen, spacing_um, dtype, False, asked))
        made += _seen(drawn, camera or Camera(), dtype)
    return made


def varied_parameters(kind: str, seed: int, specimen: int) -> dict[str, float]:
    """What one specimen of a kind has of the kind's ``VARIATION``, drawn uniformly.

    Raises:
        Problem: the kind is unknown.
    """
    numbers = numpy_generator(max(seed, 0), _VARIATION, specimen)  # phantom() refuses a negative seed
    # Every range is drawn from, so that giving one parameter does not change the others.
    return {name: float(numbers.uniform(*limits)) for name, limits in module_of(kind).VARIATION.items()}


def image_set(phantoms: Iterable[Phantom], *, labels: bool = False) -> Pictures:
    """The pictures of the phantoms as an image set, with their exact masks.

    Args:
        phantoms: the phantoms.
        labels: show the exact mask itself, 0 and 255 in 8 bit, instead of what the camera saw.
    """
    return Pictures((_as_labels(phantom) if labels else phantom.picture for phantom in phantoms), name="phantoms")


def _as_labels(phantom: Phantom) -> Picture:
    return replace(phantom.picture, pixels=(phantom.labels[None] * np.uint8(255)))


@dataclass(frozen=True, slots=True, eq=False)
class _Drawn:
    """A scene, and whose it is."""

    scene: Scene
    kind: str
    seed: int
    specimen: int
    spacing_um: float
    section: tuple[str, str] | None

    @property
    def subject(self) -> Subject:
        scene = self.scene
        if scene.materials is not None:
            return Subject(scene.materials, scene.names, self.spacing_um, scene.reflectance, scene.density)
        if self.section is None:  # a camera needs no more
            return Subject(scene.labels, (), self.spacing_um, scene.reflectance)
        names = tuple(dict.fromkeys(name for name in self.section if name != EMPTY))
        table = np.array([0 if name == EMPTY else 1 + names.index(name) for name in self.section], np.uint8)
        return Subject(table[scene.labels], names, self.spacing_um, scene.reflectance)


def _drawn(
    kind: str, size: tuple[int, int], seed: int, specimen: int, spacing_um: float | None, dtype: PixelType,
    coupled: bool, parameters: Mapping[str, float | None],
) -> _Drawn:  # fmt: skip
    module = module_of(kind)
    settings = settings_of(module, parameters)
    spacing = module.SPACING_UM if spacing_um is None else float(spacing_um)
    check_window(kind, size, seed, specimen, spacing, dtype)
    source: Source = NamedStreams(seed, _COUPLED, specimen) if coupled else numpy_generator(seed, GEOMETRY, specimen)
    scene: Scene = module.scene(settings, size, spacing, source)
    return _Drawn(scene, kind, seed, specimen, spacing, getattr(module, "SECTION", None))


def _seen(drawn: Sequence[_Drawn], camera: Instrument, dtype: PixelType) -> list[Phantom]:
    """The scenes through an instrument, which may work on many at a time."""
    generators = [numpy_generator(one.seed, CAMERA, one.specimen) for one in drawn]
    seen = camera.see([one.subject for one in drawn], dtype, generators)
    return [_as_phantom(one, of_one, camera) for one, of_one in zip(drawn, seen, strict=True)]


def _as_phantom(drawn: _Drawn, seen: Seen, camera: Instrument) -> Phantom:
    scene = drawn.scene
    # A kind writes what its usual instrument is; another one's images are called after that.
    caption = f"{camera.takes} of {scene.caption.partition(' of ')[2]}" if camera.takes else scene.caption
    return Phantom(
        picture=Picture(
            pixels=seen.pixels,
            spacing_um=(drawn.spacing_um, drawn.spacing_um),
            origin=Origin(
                specimen=f"{drawn.kind}-{drawn.seed}-{drawn.specimen:02d}",
                source=f"phantom {drawn.kind} seed {drawn.seed}",
            ),
            labels=MappingProxyType({"caption": caption, **scene.parameters, **seen.recorded}),
            mask=scene.labels.astype(np.bool_),
        ),
        labels=scene.labels,
        parameters=MappingProxyType(dict(scene.parameters)),
        caption=caption,
    )


class Kind(Protocol):
    """What the file of a kind holds."""

    KIND: str
    SPACING_UM: float
    VARIATION: Mapping[str, tuple[float, float]]
    Settings: type[KindSettings]

    scene: Callable[[KindSettings, tuple[int, int], float, Source], Scene]


def _modules() -> dict[str, Kind]:
    import morphogen.phantoms as package

    files = [m.name for m in pkgutil.iter_modules(package.__path__)]
    loaded = [importlib.import_module(f"morphogen.phantoms.{file}") for file in files]
    return {module.KIND: cast(Kind, module) for module in loaded if hasattr(module, "KIND")}


def module_of(kind: str) -> Kind:
    """The file of a kind.

    Raises:
        Problem: the kind is unknown.
    """
    modules = _modules()
    if kind not in modules:
        raise Problem(f"there is no phantom of kind '{kind}'", do=f"choose one of {', '.join(sorted(modules))}")
    return modules[kind]


def settings_of(module: Kind, parameters: Mapping[str, float | None]) -> KindSettings:
    """The settings of a kind from what a person gave.

    Raises:
        Problem: an unknown parameter, or a value out of range.
    """
    try:
        return module.Settings(**parameters)
    except ValidationError as error:
        raise as_problem(error, f"{module.KIND} phantom", module.Settings) from None


def check_window(kind: str, size: tuple[int, int], seed: int, specimen: int, spacing_um: float, dtype: str) -> None:
    """Refuse what no phantom of any kind can be.

    Raises:
        Problem: a window too small to show anything, negative seeds, or a pixel of no size or type.
    """
    if min(size) < 16:
        raise Problem(f"a {kind} phantom of {size[0]} x {size[1]} pixels shows nothing", do="ask for 16 or more")
    if seed < 0 or specimen < 0:
        raise Problem(f"seed {seed} of specimen {specimen} is negative", do="choose whole numbers from 0 up")
    if not 0 < spacing_um < np.inf:
        raise Problem(f"a pixel of {spacing_um:g} um does not exist", do="choose a spacing above 0 um")
    if dtype not in get_args(PixelType):
        raise Problem(f"a phantom cannot have pixels of type {dtype}", do=f"choose {' or '.join(get_args(PixelType))}")
