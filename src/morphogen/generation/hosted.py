"""Images from a hosted service, by what they are to show.

``pretrained.image_service`` has what is paid for, kept and refused.
"""

from pathlib import Path

import numpy as np

from morphogen.images.folders import require_format, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Label, Origin, Picture
from morphogen.pretrained.image_service import SERVICE, ImageService, ServiceRequest, ServiceSettings
from morphogen.pretrained.readable_text import require_readable_text
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.whole_files import require_free_folder


def order(
    caption: str,
    settings: ServiceSettings,
    *,
    count: int = 1,
    seed: int = 0,
    grey: bool = False,
    folder: Path | str | None = None,
    extension: str | None = None,
) -> Pictures:
    """Ask a hosted service for images that show what a caption says, after somebody agreed to the cost.

    Each answer is kept as it arrives, in ``settings.answers``: asked again, also for more of them, it is taken from
    there. Images have the size that the service gave, 8 bit, and no pixel size.

    Args:
        caption: what the images are to show.
        settings: which service, and what may be spent.
        count: how many.
        seed: tells one order from the next in the same words; it means nothing to the service.
        grey: give their luminance.
        folder: where to write them; not written if left out.
        extension: an ending, as ".tif" or ".nrrd"; by default PNG.

    Raises:
        Problem: nobody agrees, or the service cannot be reached, refuses, or answers with something else.
    """
    if count < 1:
        raise Problem(f"{count} images cannot be ordered", do="give a number from 1 up")
    require_readable_text(caption)
    target = require_free_folder(Path(folder), "the images") if folder is not None else None
    if extension is not None:
        require_format(extension, "uint8")
    service = ImageService(settings)
    requests = [ServiceRequest("generate", caption, number=f"seed {seed} image {k}") for k in range(count)]
    service.agree(requests)
    pictures = []
    for k, request in enumerate(track(requests, f"Asking for {count} images")):
        pixels = service.image(request)
        labels: dict[str, Label] = {SERVICE: service.name, "caption": caption, "seed": float(seed), "number": float(k)}
        picture = Picture(pixels, (np.nan, np.nan), Origin(f"{settings.model}-{seed}-{k}", service.name), labels)
        if grey:
            luminance = np.rint(picture.grey)[None].astype(np.uint8)
            picture = Picture(luminance, picture.spacing_um, picture.origin, labels)
        pictures.append(picture)
    images = Pictures(pictures, f"images from {service.host}")
    if target is not None:
        write_images(images, target, extension=extension)
    return images
