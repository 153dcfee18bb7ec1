"""What studies of every kind have in common: their folder, their images, and the machine that they ran on."""

import json
import os
import platform
from pathlib import Path

import torch
from accelerate import PartialState

from morphogen.images.folders import read_images
from morphogen.images.image_set import Pictures
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.studies.parts import FileSource, PhantomSource
from morphogen.studies.recipe import AnyRecipe
from morphogen.training.train import computes_in_bf16, uses_gpu
from morphogen.whole_files import free_folder, new_folder, write_text_whole


def study_folder(folder: Path | str | None, name: str, recipe: AnyRecipe, go_on: bool, state: PartialState) -> Path:
    """The study's folder: a new one with the recipe in it, or the one to go on with."""
    written = recipe.model_dump(mode="json", exclude_none=True)
    if go_on:
        if folder is None:
            raise Problem("it is not said which study to go on with", do="name its folder")
        target = Path(folder)
        try:
            kept = json.loads((target / "recipe.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise Problem(
                f"{target} holds no study to go on with",
                do="name the folder of one that was stopped, or start a new one",
            ) from None
        if kept != written:
            raise Problem(f"{target} was started with another recipe", do="choose another folder")
        return target
    target = Path(folder) if folder is not None else free_folder(Path("studies") / name)
    with state.main_process_first():
        if state.is_main_process:
            new_folder(target, "the study")
            write_text_whole(target / "recipe.json", json.dumps(written, indent=1))
    return target


def images_of(source: PhantomSource | FileSource, seed: int, root: Path) -> Pictures:
    """The images of a recipe: phantoms of that seed, or files under a folder.

    Raises:
        Problem: they cannot be drawn or read.
    """
    if isinstance(source, PhantomSource):
        made = phantoms(
            source.kind,
            count=source.count,
            size=source.size,
            seed=seed,
            spacing_um=source.spacing_um,
            parameters=source.parameters,
        )
        return image_set(made)
    return read_images(
        root / source.path,
        files=source.files,
        axis=source.axis,
        specimen_pattern=source.specimen_pattern,
        pixel_size_um=source.pixel_size_um,
        shrink=source.shrink,
        grey=source.grey,
    )


def device_in_words(cpu: bool) -> str:
    """Where work goes, "CPU, 2 threads"."""
    if uses_gpu(cpu):
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def machine_in_words(cpu: bool, processes: int) -> str:
    """What a study runs on."""
    many = f", {processes} processes" if processes > 1 else ""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {device_in_words(cpu)}{many},"
        f" Python {platform.python_version()}, torch {torch.__version__}"
    )


def precision_here(wanted: str, cpu: bool) -> str:
    """The precision of trainings on this machine: what is wanted, but fp32 where bf16 would be slower."""
    return wanted if uses_gpu(cpu) or computes_in_bf16() else "fp32"
