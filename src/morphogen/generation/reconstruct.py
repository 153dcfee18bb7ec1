"""What an autoencoder gives back of measured images: what it loses, no image drawn through it can have."""

from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from morphogen.generation.generate import picture_of
from morphogen.images.cropping import require_masks, require_room
from morphogen.images.folders import require_format, write_images
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.mask_channel import channel_of_mask
from morphogen.images.picture import Picture
from morphogen.mathematics.randomness import numpy_generator
from morphogen.methods.method import Reconstructs, method_class, method_names
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.training.run import Run
from morphogen.training.train import uses_gpu
from morphogen.understanding.learners import learner_class
from morphogen.whole_files import require_free_folder

RECONSTRUCTED = "reconstructed from"
"""Label of a reconstruction: the specimen of the picture that went into the autoencoder."""

MOST_FIELDS = 256
"""Fields by default, spread evenly over the pictures."""

_PLACES = 120
"""Purpose of the random stream that chooses crops of a picture."""


@dataclass(frozen=True, slots=True)
class Reconstructed:
    """Measured fields and what the autoencoder made of them.

    Attributes:
        measured: crops of the run's size.
        pictures: their reconstructions, in the same order.
        learnt_through: see ``GenerativeMethod``.
    """

    measured: Pictures
    pictures: Pictures
    learnt_through: str


def reconstruct(
    run: Run | Path | str,
    images: ImageSet,
    *,
    most: int = MOST_FIELDS,
    batch_size: int = 16,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Reconstructed:
    """Send crops of measured images through the autoencoder of a run, without chance.

    Args:
        run: of a method with an autoencoder, or its folder.
        images: measured images, best those that were held out, of the pixel type and channels that the run knows.
        most: crops at most; they lie side by side, spread evenly over the images.
        batch_size: crops at a time; changes memory and not content.
        folder: where to write the reconstructions, and the crops into its folder measured/; not written if left out.
        extension: an ending, as ".tif" or ".nrrd"; by default PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: the run has no autoencoder, images that it does not know, or no room to write.
    """
    run = run if isinstance(run, Run) else Run(run)
    if not issubclass(learner_class(run.record.method), Reconstructs):
        able = ", ".join(name for name in method_names() if issubclass(method_class(name), Reconstructs))
        raise Problem(
            f"{run.folder} is a run of {run.record.method}, which has no autoencoder", do=f"name a run of {able}"
        )
    target = require_free_folder(Path(folder), "the reconstructions") if folder is not None else None
    if extension is not None:
        require_format(extension, run.record.intensity.dtype)
    require_alike(run, images)
    if min(most, batch_size) < 1:
        raise Problem(f"{most} crops in batches of {batch_size} show nothing", do="give numbers from 1 up")
    device = torch.device("cuda" if uses_gpu(cpu) else "cpu")
    method = run.trained_method().to(device)
    assert isinstance(method, Reconstructs)
    masks = [channel_of_mask(p.mask) for p in images if p.mask is not None] if run.record.with_masks else None
    size = run.shape.height, run.shape.width
    crops = crops_of(images, size, most)
    made: list[Picture] = []
    for first in track(range(0, len(crops), batch_size), f"Reconstructing {len(crops)} crops"):
        here = crops[first : first + batch_size]
        units = []
        for crop in here:
            unit = run.record.intensity.to_unit(crop.picture.pixels)
            units.append(unit if masks is None else np.concatenate([unit, crop.of(masks[crop.number], size)]))
        with torch.inference_mode():
            given = method.reconstruct(torch.from_numpy(np.stack(units)).to(device)).float().cpu().numpy()
        for crop, channels in zip(here, given, strict=True):
            made.append(_picture(run, crop.picture, channels, method.learnt_through))
    all_masked = all(crop.picture.mask is not None for crop in crops)
    whole = (crop.picture if all_masked else replace(crop.picture, mask=None) for crop in crops)  # what can be written
    measured = Pictures(whole, "measured")
    pictures = Pictures(made, f"reconstructions of {run.folder.name}")
    if target is not None:
        write_images(pictures, target, extension=extension)
        write_images(measured, target / "measured", extension=extension)
    return Reconstructed(measured, pictures, method.learnt_through)


@dataclass(frozen=True, slots=True)
class Crop:
    """A crop and where it comes from: number of the picture in its set, and the corner."""

    picture: Picture
    number: int
    top: int
    left: int

    def of(self, channels: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """The same place of another image in register, ``(channels, height, width)``."""
        return channels[:, self.top : self.top + size[0], self.left : self.left + size[1]]


def crops_of(images: ImageSet, size: tuple[int, int], most: int) -> list[Crop]:
    """Crops side by side, on a grid in the middle of each picture; one of each picture in turn until there are enough.

    Which of the crops of a picture come first is chance, but always the same: its upper edge may be unlike the rest.

    Raises:
        Problem: a picture is smaller than a crop.
    """
    require_room(images, size)
    (height, width), of_each = size, []
    for number, picture in enumerate(images):
        rows, columns = picture.size[0] // height, picture.size[1] // width
        above, before = (picture.size[0] - rows * height) // 2, (picture.size[1] - columns * width) // 2
        corners = [(above + i * height, before + j * width) for i in range(rows) for j in range(columns)]
        chosen = [corners[i] for i in numpy_generator(_PLACES, number).permutation(len(corners))]
        of_each.append([Crop(picture.crop(top, left, height, width), number, top, left) for top, left in chosen])
    in_turn = [crop for turn in zip_longest(*of_each) for crop in turn if crop is not None]
    return in_turn[:most]


def require_alike(run: Run, images: ImageSet) -> None:
    """Refuse images that a run does not know: of other channels, another pixel type, or without a mask that it needs.

    Raises:
        Problem: what is wrong.
    """
    channels = run.shape.channels - run.record.with_masks
    for picture in images:
        if picture.channels != channels:
            raise Problem(
                f"{picture.origin.source or picture.origin.specimen} has {picture.channels} channels, and the run knows"
                f" {channels}",
                do="give images like those that it was trained on, colour images by their luminance",
            )
        if picture.pixels.dtype.name != run.record.intensity.dtype:
            raise Problem(
                f"{picture.origin.source or picture.origin.specimen} is {picture.pixels.dtype.name}, and the run knows"
                f" {run.record.intensity.dtype}",
                do="give images of that pixel type, on the same grey scale",
            )
    if run.record.with_masks:
        require_masks(images)


def _picture(run: Run, measured: Picture, channels: NDArray[np.floating], learnt_through: str) -> Picture:
    picture = picture_of(run, channels, measured.origin.specimen, learnt_through)
    return replace(
        picture,
        spacing_um=measured.spacing_um,
        origin=replace(measured.origin, source=f"{run.record.method} {run.folder.name}"),
        labels={**picture.labels, RECONSTRUCTED: measured.origin.specimen},
    )
