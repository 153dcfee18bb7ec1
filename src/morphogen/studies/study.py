"""Run a study: images, trainings at one budget, generated sets, evidence, one page.

The folder of a study holds everything: the recipe, a run folder for every training, every generated set,
the records as JSON, and the page. A study that was stopped goes on where it was.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

import morphogen
from morphogen.command_line import command_line
from morphogen.evaluation.compare import require_comparable
from morphogen.evaluation.evaluate import diversity_measures, evaluate, extractors, require_other_features
from morphogen.evaluation.fields import fields
from morphogen.evaluation.segment import segment
from morphogen.evaluation.segmentation.segmentation import fit_segmentation
from morphogen.generation.generate import Generation, timed_generation
from morphogen.generation.translate import require_all_masks_or_none, timed_translation
from morphogen.images.conditions import Conditions, known_as
from morphogen.images.cropping import independent_fields, require_masks, require_room
from morphogen.images.folders import write_images
from morphogen.images.image_set import ImageSet, Pictures
from morphogen.images.intensity import IntensityMap
from morphogen.images.splitting import Split, split
from morphogen.methods.method import ImageShape, Task, method_class, method_settings
from morphogen.problems import Problem
from morphogen.progress import console, status
from morphogen.report.page import Exhibits, write_page
from morphogen.report.study_record import CurvePoint, MethodRecord, SpecimenRecord, StudyRecord
from morphogen.specimens.specimen import augmentations
from morphogen.specimens.specimen import specimen as kind_of_specimen
from morphogen.studies.editing_recipe import EditingRecipe
from morphogen.studies.editing_study import editing_study
from morphogen.studies.memory import PeakMemory
from morphogen.studies.parts import Budget, PhantomSource
from morphogen.studies.recipe import EMBEDDED, AnyRecipe, Recipe, SpecimenRecipe, as_recipe, read_recipe
from morphogen.studies.study_folder import device_in_words, images_of, machine_in_words, study_folder
from morphogen.training.captions import text_condition
from morphogen.training.run import Run
from morphogen.training.train import (
    DivergedError,
    require_conditions,
    require_context,
    require_sources,
    require_teacher,
    train,
    uses_gpu,
)
from morphogen.usefulness.usefulness import require_trainable, usefulness
from morphogen.whole_files import write_text_whole

_ANOTHER_SEED, _SOURCE_SEED = (
    7919,
    7907,
)  # the other specimen of a phantom control and what is translated must not repeat the studied ones


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An image set that has passed every check, split and ready to train on."""

    name: str
    recipe: SpecimenRecipe
    split: Split
    another: dict[str, ImageSet]
    symmetries: frozenset[str]
    sources: ImageSet | None = None

    def conditions(self, method: str) -> tuple[str, ...]:
        """What a method is conditioned on: the recipe's conditions, if it can take any."""
        return self.recipe.conditions if method_class(method).conditional != "no" else ()

    def sources_of(self, method: str) -> ImageSet | None:
        """What a method translates, if it does."""
        return self.sources if method_class(method).translates else None


def study(
    recipe: AnyRecipe | Mapping[str, Any] | Path | str | None = None,
    *,
    images: Path | str | None = None,
    folder: Path | str | None = None,
    only: Sequence[str] = (),
    seconds: float | None = None,
    go_on: bool = False,
    cpu: bool = False,
) -> Path:
    """Compare methods, or editors where the recipe says so, on image sets and write a page.

    Args:
        recipe: a recipe or its file; without one, the embedded comparison on phantoms.
        images: folder to which the recipe's paths are relative; by default the recipe's own folder. Of editors
            measured images are edited, too, where it is given.
        folder: where everything goes; by default studies/NAME, numbered if that is taken.
        only: names of specimens, to leave out the others.
        seconds: another budget than the recipe's, in seconds.
        go_on: go on with a study that was stopped, in ``folder``.
        cpu: stay on the CPU even where there is a GPU.

    Returns:
        Path of the page, ``index.html``.

    Raises:
        Problem: anything that a person can put right; all images and settings are checked before the
            first training starts.
    """
    started = time.perf_counter()
    read, root, name = _recipe(recipe)
    if isinstance(read, EditingRecipe):
        return editing_study(read, name, images=None if images is None else Path(images), folder=folder, only=only,
                             seconds=seconds, go_on=go_on, cpu=cpu)  # fmt: skip
    read = _narrowed(read, only, seconds)
    state = PartialState(cpu=not uses_gpu(cpu))
    for row in read.methods:
        method_settings(read.method_of(row), read.settings_of(row))
    prepared = [
        _prepare(specimen, part, read, Path(images) if images is not None else root, cpu)
        for specimen, part in read.specimens.items()
    ]
    target = study_folder(folder, name, read, go_on, state)
    where = console() if state.is_main_process else None
    trainings = len(prepared) * len(read.methods)
    if where is not None:
        where.print(f"{trainings} trainings ({_expected(read.budget, trainings)}) into {target}")
    records: list[SpecimenRecord] = []
    shown: dict[str, dict[str, ImageSet]] = {}
    exhibits: dict[str, Exhibits] = {}
    earlier = 0.0
    try:
        for index, part in enumerate(prepared):
            runs = {}
            for offset, method in enumerate(read.methods):
                if where is not None:
                    number = index * len(read.methods) + offset + 1
                    where.print(f"[{number}/{trainings}] {part.name}: {method}")
                runs[method] = _trained(part, method, read, target, cpu)
                earlier += runs[method].earlier_seconds
            if state.is_main_process:
                record, shown[part.name], exhibits[part.name] = _judged(part, runs, read, target, cpu)
                records.append(record)
    except KeyboardInterrupt:
        if where is not None:
            where.print(f"Stopped; everything so far is kept, and the study can go on in {target}")
        raise
    state.wait_for_everyone()
    if not state.is_main_process:
        return target / "index.html"
    whole = StudyRecord(
        title=read.title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        morphogen=morphogen.__version__,
        recipe=read.model_dump(mode="json", exclude_none=True),
        command=command_line(),
        machine=machine_in_words(cpu, state.num_processes),
        budget=read.budget.words,
        seconds_total=time.perf_counter() - started + earlier,
        specimens=tuple(records),
    )
    return write_page(whole, shown, target, exhibits)


def _expected(budget: Budget, trainings: int) -> str:
    """The budget in words and, where it is one of time, what it comes to."""
    if budget.seconds is None:
        return budget.words
    minutes = budget.seconds * trainings / 60
    return f"{budget.words}: {minutes:.0f} min, and then the comparison"


def _recipe(recipe: AnyRecipe | Mapping[str, Any] | Path | str | None) -> tuple[AnyRecipe, Path, str]:
    """The recipe, the folder that its paths start from, and the study's name."""
    if isinstance(recipe, AnyRecipe):
        return recipe, Path(), "study"
    if isinstance(recipe, Mapping):
        return as_recipe(dict(recipe), "the recipe"), Path(), "study"
    path = Path(recipe) if recipe is not None else EMBEDDED
    return read_recipe(path), path.parent, path.stem


def _narrowed(recipe: Recipe, only: Sequence[str], seconds: float | None) -> Recipe:
    for name in only:
        if name not in recipe.specimens:
            raise Problem(f"the recipe has no specimen '{name}'", do=f"choose among {', '.join(recipe.specimens)}")
    changed = recipe.model_dump(exclude_none=True)
    if only:
        changed["specimens"] = {name: changed["specimens"][name] for name in only}
    if seconds is not None:
        changed["budget"] = {"seconds": seconds}
    narrowed = as_recipe(changed, "the recipe")
    assert isinstance(narrowed, Recipe)
    return narrowed


def _prepare(name: str, part: SpecimenRecipe, recipe: Recipe, root: Path, cpu: bool) -> _Prepared:
    """Read and check everything of one specimen, so that nothing fails after an hour of training."""
    kind = kind_of_specimen(part.kind)
    source = part.phantom or part.images
    assert source is not None
    images = images_of(source, recipe.seed, root)
    require_room(images, part.crop)
    if known_as(kind.fraction, part.conditions) is not None and any(picture.mask is None for picture in images):
        images, _ = segment(images, specimen=part.kind, segmentation=part.segmentation)
    if part.with_masks:
        require_masks(images)
    shape = ImageShape(images.channels + part.with_masks, *part.crop)
    for row in recipe.methods:
        method = recipe.method_of(row)
        suited = method_class(method).suited(method_settings(method, recipe.settings_of(row)), on_gpu=uses_gpu(cpu))
        method_class(method).sizes(suited).check(method, shape)
    origin = part.source_phantom or part.source_images
    sources = images_of(origin, recipe.seed + _SOURCE_SEED, root) if origin is not None else None
    another: dict[str, ImageSet] = {}
    other = part.another_phantom or part.another_images
    if other is not None:
        others = images_of(other, recipe.seed + _ANOTHER_SEED, root)
        label = f"another {other.kind}" if isinstance(other, PhantomSource) else f"another: {others.specimens[0]}"
        require_room(others, part.crop)
        another[label] = others
    divided = split(images, crop=part.crop, held_out=part.held_out, seed=recipe.seed)
    worth = recipe.evaluation.usefulness
    if worth is not None and part.with_masks:
        require_trainable(divided.training, {}, divided.held_out, part.crop, worth.seeds)
    symmetries = frozenset(part.symmetries) if part.symmetries is not None else kind.symmetries
    prepared = _Prepared(name, part, divided, another, frozenset(symmetries), sources)
    compared = dict(another)
    for method in dict.fromkeys(recipe.method_of(row) for row in recipe.methods):
        require_conditions(method, prepared.conditions(method))
        require_teacher(method, None)
        require_context(method, images, None, with_masks=part.with_masks)
        translated = prepared.sources_of(method)
        require_sources(method, images, translated, size=part.crop, with_masks=part.with_masks)
        if translated is not None:
            IntensityMap.of(translated, part.clip_percent)
            require_all_masks_or_none(translated)
            # A translation has the pixel type of the measured images, and all else that is compared of its source.
            blank = (replace(p, pixels=np.zeros(p.pixels.shape, images[0].pixels.dtype)) for p in translated)
            compared["the sources"] = Pictures(blank, "the sources")
    _require_evaluation(divided, compared, part, recipe)
    # Whether or not a method is conditioned: a label that is missing is a slip of the recipe.
    read = (text_condition(recipe.method_of(row), part.conditions, None) for row in recipe.methods)
    Conditions.of(part.conditions, list(divided.training), kind.fraction, next(filter(None, read), None))
    _require_other_features(prepared, recipe, shape, cpu)
    return prepared


def _require_other_features(prepared: _Prepared, recipe: Recipe, shape: ImageShape, cpu: bool) -> None:
    """Refuse a method that would be scored by nothing but the features that it is trained to please."""
    through, training = {}, list(prepared.split.training)
    fraction = kind_of_specimen(prepared.recipe.kind).fraction
    for row in recipe.methods:
        name = recipe.method_of(row)
        method = method_class(name)
        suited = method.suited(method_settings(name, recipe.settings_of(row)), on_gpu=uses_gpu(cpu))
        names = prepared.conditions(name)
        conditions = Conditions.of(names, training, fraction, text_condition(name, names, None))
        with torch.device("meta"):  # to be asked, not to be used
            learnt_through = method(suited, Task(shape, conditions)).learnt_through
        if learnt_through:
            through[row] = frozenset({learnt_through})
    require_other_features(recipe.evaluation.features, through)


def _require_evaluation(divided: Split, another: Mapping[str, ImageSet], part: SpecimenRecipe, recipe: Recipe) -> None:
    """Refuse now what the comparison would refuse after the training."""
    count = recipe.evaluation.fields
    held_out, training = (
        fields(images, part.crop, count, recipe.seed) for images in (divided.held_out, divided.training)
    )
    others = {name: fields(images, part.crop, count, recipe.seed) for name, images in another.items()}
    require_comparable(measured=held_out, floor=training, another=others)
    kind = kind_of_specimen(part.kind)
    segmentation = fit_segmentation(part.segmentation or kind.segmentation, held_out, kind.phase_is)
    extractors(
        recipe.evaluation.features, segmentation, recipe.evaluation.inception, recipe.evaluation.download_inception
    )
    diversity_measures(recipe.evaluation.features, part.crop)


@dataclass(frozen=True, slots=True)
class _Trained:
    """A run and what is not in its folder.

    Attributes:
        run: the run.
        peak_memory_mib: peak memory of its training, of the last part where it was resumed.
        note: where it went wrong.
        earlier_seconds: training time that was spent before this call.
    """

    run: Run
    peak_memory_mib: float
    note: str = ""
    earlier_seconds: float = 0.0


def _trained(part: _Prepared, row: str, recipe: Recipe, target: Path, cpu: bool) -> _Trained:
    method, folder = recipe.method_of(row), target / "runs" / f"{part.name}-{row}"
    cost = folder / "cost.json"
    resume = (folder / "run.json").exists()
    if resume and cost.exists():
        kept = json.loads(cost.read_text(encoding="utf-8"))
        finished = Run(folder)
        return _Trained(finished, kept["peak_memory_mib"], kept["note"], finished.counters["seconds"])
    earlier = Run(folder).counters["seconds"] if resume and Run(folder).has_state else 0.0
    kind = kind_of_specimen(part.recipe.kind)
    note = ""
    with PeakMemory() as peak:
        try:
            run = train(
                method,
                part.split.training,
                folder,
                seconds=recipe.budget.seconds,
                images_seen=recipe.budget.images,
                size=part.recipe.crop,
                settings=recipe.settings_of(row),
                symmetries=part.symmetries,
                seed=recipe.seed_of(row),
                clip_percent=part.recipe.clip_percent,
                with_masks=part.recipe.with_masks,
                conditions=part.conditions(method),
                fraction=kind.fraction,
                sources=part.sources_of(method),
                augmentations=augmentations(part.symmetries, lighting_varies=kind.lighting_varies),
                go_on=resume,
                cpu=cpu,
            )
        except DivergedError as error:
            run, note = Run(folder), error.what
    if PartialState().is_main_process:
        write_text_whole(cost, json.dumps({"peak_memory_mib": peak.mib, "note": note}))
    return _Trained(run, peak.mib, note, earlier)


def _judged(
    part: _Prepared, runs: Mapping[str, _Trained], recipe: Recipe, target: Path, cpu: bool
) -> tuple[SpecimenRecord, dict[str, ImageSet], Exhibits]:
    """Generate from every run, compare, and put on record."""
    generated: dict[str, ImageSet] = {}
    methods = []
    for method, trained in runs.items():
        drawn = _drawn(part, method, trained.run, recipe, cpu)
        generated[method] = drawn.images
        folder = target / "generated" / f"{part.name}-{method}"
        write_images(drawn.images, folder)
        methods.append(_method_record(method, trained, drawn.seconds_per_image, cpu))
    with status(f"{part.name}: comparing") as tell:
        found = evaluate(
            measured=part.split.held_out,
            training=part.split.training,
            generated=generated,
            another=part.another,
            specimen=part.recipe.kind,
            segmentation=part.recipe.segmentation,
            features=recipe.evaluation.features,
            inception=recipe.evaluation.inception,
            download_inception=recipe.evaluation.download_inception,
            fields_at_most=recipe.evaluation.fields,
            intensity=next(iter(runs.values())).run.record.intensity,
            seed=recipe.seed,
            resamples=recipe.evaluation.resamples,
            progress=lambda words: tell(f"{part.name}: {words}"),
        )
    worth = None
    if recipe.evaluation.usefulness is not None and part.recipe.with_masks:
        with status(f"{part.name}: usefulness") as tell:
            worth = usefulness(
                training=part.split.training,
                generated=generated,
                test=part.split.held_out,
                crop=part.recipe.crop,
                symmetries=part.symmetries,
                images_seen=recipe.evaluation.usefulness.images,
                seeds=recipe.evaluation.usefulness.seeds,
                seed=recipe.seed,
                cpu=cpu,
                progress=lambda words: tell(f"{part.name}: {words}"),
            )
    source = part.recipe.images
    record = SpecimenRecord(
        name=part.name,
        kind=part.recipe.kind,
        about=part.recipe.about,
        images=source.path if source is not None else "phantom",
        training_fields_independent=independent_fields(part.split.training, part.recipe.crop),
        held_out_fields_independent=independent_fields(part.split.held_out, part.recipe.crop),
        crop_px=part.recipe.crop,
        spacing_um=part.split.held_out[0].spacing_um,
        split=part.split.how,
        comparison=found.comparison,
        methods=tuple(methods),
        usefulness=worth,
    )
    shown = {"measured": part.split.held_out, **generated, **part.another}
    return record, shown, Exhibits(found.segmentation, found.closest)


def _drawn(part: _Prepared, row: str, run: Run, recipe: Recipe, cpu: bool) -> Generation:
    sources = part.sources_of(recipe.method_of(row))
    if sources is None:
        return timed_generation(run, count=recipe.evaluation.fields, seed=recipe.seed, cpu=cpu, batch_size=32)
    shown = fields(sources, part.recipe.crop, recipe.evaluation.fields, recipe.seed)
    return timed_translation(run, shown, cpu=cpu, batch_size=32)


def _method_record(row: str, trained: _Trained, seconds_per_image: float, cpu: bool) -> MethodRecord:
    record, counters = trained.run.record, trained.run.counters
    return MethodRecord(
        method=row,
        title=method_class(record.method).title,
        settings=record.settings,
        parameters=record.parameters,
        seconds=counters["seconds"],
        images_seen=int(counters["images_seen"]),
        steps=int(counters["step"]),
        peak_memory_mib=trained.peak_memory_mib,
        seconds_per_image=seconds_per_image,
        device=device_in_words(cpu),
        note=trained.note,
        curve=tuple(
            CurvePoint(seconds=line["seconds"], images_seen=line["images_seen"], losses=line["losses"])
            for line in trained.run.progress()
        ),
    )
