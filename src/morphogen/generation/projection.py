"""Find the style of a measured image: what a style-based run can make of it.

Abdal, Qin, Wonka 2019 (arXiv:1904.03189); Karras et al. 2020 (arXiv:1912.04958), appendix D. From the mean
style, w is moved by Adam so that the image of w looks like the measured one, with noise on w that decays,

    w~ = w + N(0, (0.05 s t^2)^2),   s^2 = E |f(z) - mean|^2,   t from 1 to 0 in the first three quarters of the steps,

and a step size that rises in the first twentieth of the steps and falls as a half cosine in the last quarter.
``extended`` (W+) gives every layer a style of its own.

Deviations, each for a reason.
  * The noise inputs are zero, not optimised. They have more numbers than the image has pixels and could paint it
    whatever the styles are; what is asked here is whether the styles can make it. The price: the grain that a run
    draws from its noise is missing in a projection.
  * w is moved along the principal axes of the styles that the run draws, in standard deviations. So one step size
    suits mapping networks of any scale, directions in which drawn styles don't differ are left for last, and the
    length of the way says how far out of the run's range the style lies.
  * The loss is LPIPS over AlexNet, many times cheaper than VGG16, plus the share of the measured image's variance that
    stays unexplained, summed over resolutions halved down to 8 pixels: coarse ones say where things are when fine ones
    don't overlap yet. Where the pretrained weights are missing, or the images are too small or not grey or RGB, that
    share alone; the record says which.
  * Where a measured pixel is at an end of the run's grey range, an output beyond it agrees: both are drawn alike.
  * Every image is given the same stream of noise: what an image is projected to depends on the image and the seed, not
    on its place in a set or on what is projected beside it (but for rounding).
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from morphogen.generation.generate import picture_of
from morphogen.generation.style_based import device_of, labelled, opened, styles_of, synthesised
from morphogen.images.cropping import require_room
from morphogen.images.folders import write_images
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.mask_channel import channel_of_mask
from morphogen.images.picture import Label, Picture, spacing_from_stored
from morphogen.mathematics.randomness import Randomness
from morphogen.pretrained.alexnet import alexnet
from morphogen.pretrained.convolution_stack import ConvolutionStack
from morphogen.pretrained.lpips import lpips_vectors
from morphogen.problems import Problem
from morphogen.progress import console, track
from morphogen.training.run import Run
from morphogen.whole_files import write_text_whole, write_whole

if TYPE_CHECKING:
    from morphogen.generation.style_based import StyleMethod

PROJECTED_FROM = "projected from"
"""Label of a projection: the image that it was found for."""

_PROJECTION = 102
"""Purpose of the random streams of projections."""
_DRAWN = 4096  # styles from which the mean and spread of W are measured
_THINNEST = 0.01  # of the longest axis of that cloud is the shortest: every direction can be gone
_RATE, _RISES, _FALLS = 0.1, 0.05, 0.25  # of Adam, in standard deviations; shares of the steps
_NOISE, _NOISY = 0.05, 0.75  # on w, in units of s; share of the steps
_COARSEST_PX = 8


class Projection(BaseModel):
    """How near a style-based run comes to one measured image.

    Attributes:
        image: file of the measured image, or its specimen where it is from no file.
        specimen: of the image.
        slice: index in a volume, or None.
        region: top, left, height and width in that file, in pixels, or None for the whole.
        loss: of the projection, as the set's record words it.
        correlation: of the grey levels of the two images, -1 to 1; None where one of them is flat.
        rms_error: root mean square of their difference in grey levels.
        psnr_db: 20 log10 of the range of grey levels that the run knows over that, in dB; None where they are equal.
        rms_error_of_mean_style: of the picture of the mean style, from which the search starts.
        distance: of the style from the mean style, root mean square over layers and principal axes, in standard
            deviations of drawn styles: 1 is typical, and far above 1 is where the run draws nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str
    specimen: str
    slice: int | None
    region: tuple[int, int, int, int] | None
    loss: float
    correlation: float | None
    rms_error: float
    psnr_db: float | None
    rms_error_of_mean_style: float
    distance: float

    @property
    def name(self) -> str:
        """What to call the image in a figure: where it is from, and the corner of the crop in it."""
        which = f" slice {self.slice}" if self.slice is not None else ""
        place = f" at {self.region[0]}, {self.region[1]}" if self.region is not None else ""
        return f"{self.image}{which}{place}"

    @property
    def figures(self) -> tuple[str, ...]:
        """How near the projection came, in words: correlation, error, distance."""
        correlation = "flat" if self.correlation is None else f"correlation {self.correlation:.2f}"
        psnr = "equal" if self.psnr_db is None else f"PSNR {self.psnr_db:.1f} dB"
        return correlation, psnr, f"{self.distance:.1f} sd from mean style"


@dataclass(frozen=True, slots=True)
class Projected:
    """Measured images and the nearest that a run can make.

    Attributes:
        measured: as they were projected, cropped to the run's size.
        pictures: the projections, in the same order.
        styles: ``(n, layers, style_dimensions)``; all layers alike in W.
        records: how near each came.
        how: space, steps and loss in words.
        seconds_per_image: what the search cost.
    """

    measured: Pictures
    pictures: Pictures
    styles: NDArray[np.float32]
    records: tuple[Projection, ...]
    how: str
    seconds_per_image: float


def project(
    run: Run | Path | str,
    images: ImageSet,
    *,
    steps: int = 300,
    extended: bool = False,
    crop_at: tuple[int, int] | None = None,
    perceptual: bool | None = None,
    seed: int = 0,
    batch_size: int = 8,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Projected:
    """The style whose image is most like a measured image, for each of a set: what the run can make of it.

    Where a run was trained with masks, the image channels are compared; the mask too if the measured images have masks.

    Args:
        run: a style-based run or its folder.
        images: of the pixel type that the run was trained on, and not smaller than its images. Of larger ones the
            middle is taken, or the crop at ``crop_at``.
        steps: of the search.
        extended: search in W+, where every layer has a style of its own.
        crop_at: top and left of the crops to project, in pixels.
        perceptual: whether the loss reads pretrained features; by default where their weights are there and the
            images are what they can take.
        seed: of the noise of the search.
        batch_size: images searched for at a time: memory and speed; the results differ by rounding.
        folder: where to write the projections (``images/``), what was projected (``measured/images/``), the styles
            (``styles.safetensors``) and the records (``projections.json``); not written if left out.
        extension: an ending, as ".tif" or ".nrrd"; by default PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: the run is not style-based, images of other channels or pixel type or too small, or no room to write.
    """
    if steps < 1 or batch_size < 1:
        raise Problem(f"{min(steps, batch_size)} steps or images cannot be taken", do="give a number from 1 up")
    run, method, target = opened(run, folder, extension, cpu)
    measured = _as_the_run(run, images, crop_at)
    unit = np.stack([_unit(run, picture) for picture in measured])
    image_channels = run.shape.channels - run.record.with_masks
    stack = _features(measured[0].size, image_channels, perceptual)
    cloud = _Cloud.of(run, method)
    space = "W+" if extended else "W"
    how = f"{space}, {steps} steps, noise inputs zero; loss: {_loss_words(stack)}"
    found: list[Tensor] = []
    losses: list[Tensor] = []
    far: list[Tensor] = []

    def search() -> Iterator[None]:
        for first in range(0, len(measured), batch_size):
            targets = torch.from_numpy(unit[first : first + batch_size]).to(cloud.mean.device)
            likeness = _Likeness(targets, image_channels, stack)
            one = _Search(method, likeness, cloud, extended=extended, seed=seed, count=len(targets))
            for step in range(steps):
                one.step(step / steps, 1 / steps)
                yield
            with torch.no_grad():
                found.append(one.styles())
                far.append(one.distances())
                losses.append(likeness(method.synthesise(found[-1])))

    started = time.perf_counter()
    groups = math.ceil(len(measured) / batch_size)
    for _ in track(search(), f"Projecting {len(measured)} images", total=groups * steps):
        pass
    seconds = (time.perf_counter() - started) / len(measured)
    styles = torch.cat(found)
    drawn = synthesised(method, styles, None, batch_size)
    (of_mean,) = synthesised(method, cloud.mean.expand(1, method.style_layers, -1), None, 1)
    through = ", ".join(name for name in (method.learnt_through, "alexnet" if stack is not None else "") if name)
    level = picture_of(run, of_mean, "mean", "")
    pictures, records = [], []
    for k, (source, channels) in enumerate(zip(measured, drawn, strict=True)):
        picture = picture_of(run, channels, source.origin.specimen, through)
        record = _record(run, source, picture, level, float(torch.cat(losses)[k]), float(torch.cat(far)[k]))
        origin = replace(source.origin, source=f"{run.record.method} {run.folder.name}")
        labels: dict[str, Label] = {
            PROJECTED_FROM: record.image,
            "projected in": space,
            "loss": record.loss,
            "rms error": record.rms_error,
        }
        labels |= {} if record.correlation is None else {"correlation": record.correlation}
        labels |= {} if record.psnr_db is None else {"PSNR in dB": record.psnr_db}
        pictures.append(labelled(replace(picture, origin=origin), labels))
        records.append(record)
    projected = Projected(
        measured,
        Pictures(pictures, f"projections by {run.folder.name}"),
        styles.cpu().numpy(),
        tuple(records),
        how,
        seconds,
    )
    if target is not None:
        _write(projected, run, seed, target, extension)
    return projected


class _Likeness:
    """How unlike measured images others are, a number for each.

    Args:
        measured: ``(B, channels, height, width)`` in [-1, 1].
        image_channels: how many of them are of the image; the mask follows, if any.
        stack: pretrained features to read, or None.
    """

    def __init__(self, measured: Tensor, image_channels: int, stack: ConvolutionStack | None) -> None:
        self._measured, self._image_channels, self._stack = measured, image_channels, stack
        flat = measured - measured.mean(dim=(2, 3), keepdim=True)
        self._variance = _squares_at_all_resolutions(flat).clamp(min=1e-6)  # (B,)
        if stack is not None:
            self._constants = [tensor.to(measured.device) for tensor in stack.constants]
            self._weights = [weight.to(measured.device) for weight in stack.linear]
            with torch.no_grad():
                self._seen = self._vectors(measured, stack)

    def __call__(self, images: Tensor) -> Tensor:
        """The loss ``(B,)`` of images; of their channels those are compared that were measured."""
        images = images[:, : self._measured.shape[1]].float()
        # Beyond black and white nothing is seen: what overshoots where the measured image is black or white agrees.
        agrees = (self._measured.abs() > 1 - 1e-4) & (images * self._measured > 1)
        images = torch.where(agrees, self._measured, images)
        loss = _squares_at_all_resolutions(images - self._measured) / self._variance
        if self._stack is not None:
            loss = loss + (self._vectors(images, self._stack) - self._seen).square().sum(1)  # LPIPS
        return loss

    def _vectors(self, images: Tensor, stack: ConvolutionStack) -> Tensor:
        """What LPIPS compares, ``(B, n)``."""
        colours = images[:, : self._image_channels].expand(-1, 3, -1, -1)
        return lpips_vectors(stack.maps(colours, self._constants), self._weights)


def _squares_at_all_resolutions(x: Tensor) -> Tensor:
    """Mean squares ``(B,)`` of x and of its means over squares of 2, 4, ... pixels, added up."""
    total = x.square().mean((1, 2, 3))
    while min(x.shape[-2:]) >= 2 * _COARSEST_PX:
        x = functional.avg_pool2d(x, 2)
        total = total + x.square().mean((1, 2, 3))
    return total


@dataclass(frozen=True, slots=True)
class _Cloud:
    """Where the styles of a run lie in W.

    Attributes:
        mean: ``(style_dimensions,)``.
        axes: principal axes, each as long as the standard deviation along it: rows of a square matrix.
    """

    mean: Tensor
    axes: Tensor

    @classmethod
    def of(cls, run: Run, method: "StyleMethod") -> "_Cloud":
        """From drawn styles, under the conditions that training saw."""
        device = device_of(method)
        z = Randomness([(0, _PROJECTION)], device).normal(_DRAWN, method.latent_dimensions)[0]
        condition = None
        if run.record.conditions:
            seen = torch.tensor(run.record.conditions.seen, device=device)
            condition = seen[torch.arange(_DRAWN, device=device) % len(seen)]
        drawn = styles_of(method, z, condition, 1.0).mean(1).double()  # (_DRAWN, style_dimensions)
        mean = drawn.mean(0)
        variances, axes = torch.linalg.eigh((drawn - mean).T @ (drawn - mean) / _DRAWN)
        deviations = variances.clamp(min=0).sqrt()
        return cls(mean.float(), (axes * deviations.clamp(min=_THINNEST * float(deviations[-1]) + 1e-9)).T.float())

    def at(self, away: Tensor) -> Tensor:
        """Styles at these coordinates from the mean, in standard deviations along the axes."""
        return self.mean + away @ self.axes


class _Search:
    """The styles of a batch of images on their way; none depends on another.

    Args:
        method: whose styles.
        likeness: what they are to minimise.
        cloud: where styles lie.
        extended: a style for each layer.
        seed: of the noise.
        count: how many images.
    """

    def __init__(
        self,
        method: "StyleMethod",
        likeness: _Likeness,
        cloud: _Cloud,
        *,
        extended: bool,
        seed: int,
        count: int,
    ) -> None:
        self._method, self._likeness, self._cloud = method, likeness, cloud
        layers = method.style_layers if extended else 1
        mean = cloud.mean
        self._away = torch.zeros(count, layers, len(mean), device=mean.device, requires_grad=True)
        self._optimiser = torch.optim.Adam([self._away], lr=_RATE)
        self._randomness = Randomness([(seed, _PROJECTION)] * count, mean.device)

    def styles(self, noise: Tensor | float = 0.0) -> Tensor:
        """The styles ``(count, layers, style_dimensions)`` as they stand."""
        return self._cloud.at(self._away + noise).expand(-1, self._method.style_layers, -1)

    def distances(self) -> Tensor:
        """Of each style from the mean, root mean square over layers and axes in standard deviations: ``(count,)``."""
        return self._away.detach().square().mean((1, 2)).sqrt()

    def step(self, share: float, step_share: float) -> None:
        """One step, at a share of all steps."""
        rising, falling = min(1.0, (share + step_share) / _RISES), min(1.0, (1 - share) / _FALLS)
        self._optimiser.param_groups[0]["lr"] = _RATE * rising * (0.5 - 0.5 * math.cos(math.pi * falling))
        # s counts all dimensions together, and a coordinate here is in units of what it has of s.
        height = _NOISE * math.sqrt(len(self._cloud.mean)) * max(0.0, 1 - share / _NOISY) ** 2
        noise = height * self._randomness.normal(*self._away.shape[1:])
        loss = self._likeness(self._method.synthesise(self.styles(noise))).sum()
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()


def _features(size: tuple[int, int], channels: int, wanted: bool | None) -> ConvolutionStack | None:
    """The pretrained features that a projection reads; None where there are none for such images, unless they must."""
    if wanted is False:
        return None
    try:
        stack = alexnet()
        if channels not in (1, 3):
            raise Problem(f"{stack.name} cannot take {channels} channels", do="project by pixels alone")
        if min(size) < stack.minimum_px:
            raise Problem(f"{stack.name} needs {stack.minimum_px} pixels a side", do="project by pixels alone")
    except Problem:
        if wanted:
            raise
        return None
    return stack


def _loss_words(stack: ConvolutionStack | None) -> str:
    pixels = "unexplained share of the variance, over resolutions"
    return f"{pixels}, plus LPIPS over {stack.name}" if stack is not None else f"{pixels}, without pretrained features"


def _as_the_run(run: Run, images: ImageSet, crop_at: tuple[int, int] | None) -> Pictures:
    """The images at the run's size.

    Raises:
        Problem: they are not such as the run was trained on.
    """
    channels, dtype = run.shape.channels - run.record.with_masks, run.record.intensity.dtype
    if images[0].channels != channels:
        raise Problem(
            f"the images to project have {images[0].channels} channels, and the run makes {channels}",
            do="give images like those that it was trained on, colour images by their luminance",
        )
    if images[0].pixels.dtype.name != dtype:
        raise Problem(
            f"the images to project are {images[0].pixels.dtype.name}, and the run makes {dtype}",
            do="give images of that pixel type, on the same grey scale",
        )
    masked = sum(picture.mask is not None for picture in images)
    if 0 < masked < len(images):
        raise Problem(f"only {masked} of {len(images)} images have a mask", do="give all of them one, or none")
    size = run.shape.height, run.shape.width
    require_room(images, size)
    crops, cut = [], 0
    for picture in images:
        top, left = crop_at or ((have - want) // 2 for have, want in zip(picture.size, size, strict=True))
        if top < 0 or left < 0 or top + size[0] > picture.size[0] or left + size[1] > picture.size[1]:
            raise Problem(
                f"a crop of {size[0]} x {size[1]} at {top}, {left} leaves"
                f" {picture.origin.source or 'an image'} of {picture.size[0]} x {picture.size[1]}",
                do="give a top and left that leave room for it",
            )
        crops.append(picture.crop(top, left, *size) if picture.size != size else picture)
        cut += picture.size != size
    if cut and crop_at is None:
        console().print(f"Projecting the middle {size[0]} x {size[1]} of {cut} larger images", highlight=False)
    spacing = spacing_from_stored(run.record.images.spacing_um)
    if (
        not np.allclose(spacing, crops[0].spacing_um, rtol=0.01, equal_nan=True)
        and np.isfinite([*spacing, *crops[0].spacing_um]).all()
    ):
        console().print(
            f"Warning: pixels of {crops[0].spacing_um[0]:g} um are projected by a run that learnt from pixels of"
            f" {spacing[0]:g} um",
            highlight=False,
        )
    return Pictures(crops, "projected images")


def _unit(run: Run, picture: Picture) -> NDArray[np.float32]:
    unit = run.record.intensity.to_unit(picture.pixels)
    if not run.record.with_masks or picture.mask is None:
        return unit
    return np.concatenate([unit, channel_of_mask(picture.mask)])


def _record(run: Run, measured: Picture, found: Picture, of_mean: Picture, loss: float, distance: float) -> Projection:
    truth, made, start = (p.pixels.astype(np.float64) for p in (measured, found, of_mean))
    rms, rms_of_mean = (float(np.sqrt(np.square(pixels - truth).mean())) for pixels in (made, start))
    grey_range = run.record.intensity.high - run.record.intensity.low
    flat = min(truth.std(), made.std()) == 0
    return Projection(
        image=str(measured.labels.get("file", measured.origin.specimen)),
        specimen=measured.origin.specimen,
        slice=measured.origin.slice,
        region=measured.origin.region,
        loss=round(loss, 6),
        correlation=None if flat else round(float(np.corrcoef(truth.ravel(), made.ravel())[0, 1]), 6),
        rms_error=round(rms, 6),
        psnr_db=None if rms == 0 else round(20 * math.log10(grey_range / rms), 4),
        rms_error_of_mean_style=round(rms_of_mean, 6),
        distance=round(distance, 4),
    )


def _write(projected: Projected, run: Run, seed: int, folder: Path, extension: str | None) -> None:
    write_images(projected.pictures, folder, extension=extension)
    write_images(projected.measured, folder / "measured", extension=extension)
    data = save({"styles": torch.from_numpy(projected.styles)}, metadata={"run": run.folder.name})
    write_whole(folder / "styles.safetensors", lambda temporary: temporary.write_bytes(data))
    record = {
        "run": run.folder.name,
        "method": run.record.method,
        "trained_on": run.record.images.fingerprint,
        "how": projected.how,
        "seed": seed,
        "projections": [one.model_dump() for one in projected.records],
    }
    write_text_whole(folder / "projections.json", json.dumps(record, indent=1) + "\n")
