"""Draw images from a pipeline that others trained, by what they are to show.

As in ``generate``: the same seed gives the same pictures at any batch size. With a LoRA that was trained on a
laboratory's images they have the channels, pixel type, grey scale and pixel size of those; else they are 8 bit, in
colour or as luminance, and the size of a pixel is unknown.
"""

from pathlib import Path

import numpy as np
import torch

from morphogen.images.folders import require_format, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import TRAINED_ON, Label, Origin, Picture, spacing_from_stored
from morphogen.pretrained.pipeline import (
    Frame,
    Pipeline,
    PipelineIndex,
    from_rgb,
    generators,
    marked,
)
from morphogen.pretrained.readable_text import require_readable_text
from morphogen.problems import Problem
from morphogen.progress import track
from morphogen.training.train import uses_gpu
from morphogen.whole_files import require_free_folder

_DRAWN = 160  # purpose of the random streams
_EIGHT_BIT = IntensityMap(low=0, high=255, dtype="uint8")


def is_pipeline(folder: Path) -> bool:
    """Whether a folder is one that diffusers saved, rather than a run."""
    return (folder / "model_index.json").exists()


def text_to_image(
    pipeline: Path | str,
    caption: str,
    *,
    count: int = 16,
    seed: int = 0,
    steps: int = 30,
    guidance: float = 7.5,
    size: tuple[int, int] | None = None,
    avoid: str = "",
    lora: Path | str | None = None,
    lora_weight: float = 1.0,
    grey: bool = False,
    batch_size: int = 4,
    folder: Path | str | None = None,
    extension: str | None = None,
    cpu: bool = False,
) -> Pictures:
    """Draw images that show what a caption says.

    Args:
        pipeline: folder of a pipeline that is told a text, as Stable Diffusion.
        caption: what the images are to show.
        count: how many.
        seed: image k depends on the seed and on k alone.
        steps: noise levels that are gone through.
        guidance: weight of the caption; 1 for none.
        size: height and width; by default those that the pipeline learnt from. Other sizes are cut out of the next
            larger one that it can draw.
        avoid: what the images are not to show.
        lora: folder of a LoRA, as 'morphogen lora' makes one.
        lora_weight: how much of it is added.
        grey: give their luminance; a LoRA of grey images does so in any case.
        batch_size: images drawn at a time; changes the memory that is needed, not the images.
        folder: where to write them; not written if left out.
        extension: an ending, as ".tif" or ".nrrd"; by default PNG for 8 bit and TIFF for the rest.
        cpu: stay on the CPU even where there is a GPU.

    Raises:
        Problem: no such pipeline, or one that is told more than a text; a caption that it cannot read; no room to
            write.
    """
    if count < 1 or batch_size < 1:
        raise Problem(f"{min(count, batch_size)} images cannot be drawn", do="give a number from 1 up")
    if steps < 1 or guidance < 1:
        raise Problem(f"{steps} steps with a guidance of {guidance:g}", do="give 1 or more of both")
    require_readable_text(caption)
    index = PipelineIndex.read(pipeline)
    target = require_free_folder(Path(folder), "the images") if folder is not None else None
    opened = Pipeline(
        pipeline, lora=lora, lora_weight=lora_weight, device=torch.device("cuda" if uses_gpu(cpu) else "cpu")
    )
    if opened.kind != "text":
        raise Problem(
            f"{pipeline} is a {index.name}, which changes images and draws none from a text alone",
            do="edit images with it, by the editor called pipeline",
        )
    for text in (caption, avoid):
        opened.require_readable(text)
    record = opened.lora
    intensity = _EIGHT_BIT if record is None else record.intensity
    channels = 1 if grey else 3 if record is None else record.channels
    if extension is not None:
        require_format(extension, intensity.dtype)
    labels: dict[str, Label] = {"method": index.name, "caption": caption, "seed": float(seed)}
    if record is not None:
        labels[TRAINED_ON] = record.trained_on
    spacing = (np.nan, np.nan) if record is None else spacing_from_stored(record.spacing_um)
    frame = Frame.of(size or (opened.size, opened.size), opened.multiple)
    draw = opened.as_class("StableDiffusionPipeline")
    pictures: list[Picture] = []
    for first in track(range(0, count, batch_size), f"Drawing {count} images"):
        here = range(first, min(count, first + batch_size))
        with torch.inference_mode():
            drawn = draw(
                prompt=[caption] * len(here), negative_prompt=[avoid] * len(here), num_inference_steps=steps,
                guidance_scale=guidance, height=frame.outer[0], width=frame.outer[1],
                generator=generators(seed, _DRAWN, here), output_type="pt",
            ).images  # fmt: skip
        for k, rgb in zip(here, drawn.float().cpu().numpy(), strict=True):
            name = f"{Path(pipeline).name}-{seed}-{k}"
            pictures.append(
                Picture(
                    from_rgb(frame.cut(rgb), channels, intensity),
                    spacing,
                    Origin(name, f"{index.name} {Path(pipeline).name}"),
                    marked({**labels, "number": float(k)}),
                )
            )
    images = Pictures(pictures, f"images of {Path(pipeline).name}")
    if target is not None:
        write_images(images, target, extension=extension)
    return images
