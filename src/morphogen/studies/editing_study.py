"""Run a study of editors: prompts, runs to work with, edits, scores where the answer is known, one page.

Phantoms of each kind are edited, whose true image after is known exactly, and measured images where there are any, of
which it is not. Beside the editors stand those that do nothing that was asked: the images before, their pixels in
random order, other images of the kind; and, of phantoms, the true image after in another photograph.

The folder of a study holds everything: the recipe, triples that runs learnt from, a run folder for every training,
every edit with its record, the findings as JSON, and the page. A study that was stopped goes on where it was.
"""

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from accelerate import PartialState

import morphogen
from morphogen.command_line import command_line
from morphogen.editing.edit import edit as edit_images
from morphogen.editing.editor import Instruction, editor_class, editor_settings, require_sound
from morphogen.evaluation.captioning import CaptionWriter
from morphogen.evaluation.edits import (
    Asked,
    Edited,
    EditedSet,
    PaperMeasures,
    Read,
    Reader,
    RowRole,
    compare_edits,
    moving_along,
    photographs_differ,
    truly_changed,
)
from morphogen.evaluation.features.extractor import extractor
from morphogen.evaluation.fields import fields
from morphogen.evaluation.image_text import ImageText
from morphogen.evaluation.similarities.similarity import similarity
from morphogen.images.conditions import CAPTION, INSTRUCTION
from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Picture
from morphogen.images.splitting import split
from morphogen.images.triples import ReadTriples, read_triples
from morphogen.instructions.triples import (
    CAPTION_BEFORE,
    KnownTriple,
    known_triples,
    neighbour,
    photographed_again,
    pictures_of,
    write_triples,
)
from morphogen.methods.method import ImageShape, method_class, method_settings
from morphogen.phantoms.edits import changes_of, require_factor
from morphogen.pretrained.text_encoder import text_encoder
from morphogen.problems import Problem
from morphogen.progress import console, status
from morphogen.report.editing_page import SetPictures, write_editing_page
from morphogen.report.editing_record import EditedSetRecord, EditingRecord
from morphogen.report.study_record import CurvePoint, MethodRecord
from morphogen.specimens.specimen import Specimen
from morphogen.specimens.specimen import specimen as kind_of_specimen
from morphogen.studies.editing_recipe import (
    CLIP,
    CONTROLS,
    MEASURED,
    TRUTH,
    EditedSpecimen,
    EditingRecipe,
    PromptRecipe,
)
from morphogen.studies.memory import PeakMemory
from morphogen.studies.parts import Budget
from morphogen.studies.study_folder import device_in_words, images_of, machine_in_words, precision_here, study_folder
from morphogen.training.image_text import open_image_text
from morphogen.training.run import Run
from morphogen.training.train import DivergedError, train, uses_gpu
from morphogen.understanding.learners import learner_class
from morphogen.whole_files import write_text_whole

_EDITED_SEED = 7919
"""Further on than the seed of what is learnt from: no specimen is both learnt from and edited."""

_DONE = "done.json"
"""In the folder of a training or of edits, when these are whole: what they cost."""

_MOST_ATTEMPTS = 4
"""So many times the images of a prompt are drawn, to find as many whose captions before and after differ."""

_OTHERS = 32
"""Other images of the kind, for the control of that name."""

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Told:
    """What can be told of one edit."""

    before: str
    caption: str
    words: str
    changed: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None"

    def instruction(self, parts: Sequence[str]) -> Instruction:
        """An instruction of these parts."""
        known = {"caption": self.caption, "before": self.before, "words": self.words, "mask": self.changed}
        return Instruction(**{name: known[name] for name in parts})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class _Set:
    """Images that are to be edited, and what there is to learn from.

    Attributes:
        name: of the set, and of folders.
        part: of the recipe.
        kind: of specimen.
        asked: what is asked of each image.
        told: how it can be said.
        reader: of the kind.
        training: measured images with captions to learn from; of phantoms they are drawn when they are needed.
    """

    name: str
    part: EditedSpecimen
    kind: Specimen
    asked: tuple[Asked, ...]
    told: tuple[_Told, ...]
    reader: Reader
    training: Pictures | None = None

    @property
    def phantoms(self) -> bool:
        """Whether the true images after are known."""
        return self.training is None


def editing_study(
    recipe: EditingRecipe,
    name: str,
    *,
    images: Path | None,
    folder: Path | str | None,
    only: Sequence[str] = (),
    seconds: float | None = None,
    go_on: bool = False,
    cpu: bool = False,
) -> Path:
    """Ask editors for edits whose answer is known, and write a page.

    Args:
        recipe: what is asked of whom.
        name: of the study.
        images: folder to which paths are relative; measured images are edited only where it is given.
        folder: where everything goes; by default studies/NAME, numbered if that is taken.
        only: names of specimens, to leave out the others.
        seconds: another budget for every training, in seconds.
        go_on: go on with a study that was stopped, in ``folder``.
        cpu: stay on the CPU even where there is a GPU.

    Returns:
        Path of the page, ``index.html``.

    Raises:
        Problem: anything that a person can put right; all that is asked, and of whom, is checked before the first
            training starts.
    """
    started = time.perf_counter()
    recipe = recipe.narrowed(only, seconds)
    root = images if images is not None else Path()
    _require_rows(recipe, root, cpu)
    state = PartialState(cpu=not uses_gpu(cpu))
    papers = {part.size: _paper_measures(recipe, part.size) for part in recipe.specimens.values()}
    sets: list[_Set] = []
    for specimen, part in recipe.specimens.items():
        known, pairs = _phantoms(specimen, part, recipe)
        sets.append(known)
        if part.measured is not None and images is not None:
            sets.append(_measured(specimen, part, recipe, root, known, pairs))
    target = study_folder(folder, name, recipe, go_on, state)
    where = console() if state.is_main_process else None
    if where is not None:
        trainings, planned = _trainings(recipe, sets)
        where.print(f"{trainings} trainings{planned} into {target}, then the edits and their scores")
    records, shown, earlier = [], dict[str, SetPictures](), 0.0
    try:
        for one in sets:
            study = _OneSet(one, recipe, target, root, cpu)
            runs, spent = study.trained()
            earlier += spent
            if not state.is_main_process:
                continue
            rows = study.rows()
            measures = replace(papers[one.part.size], clip=study.clip())
            with status(f"{one.name}: comparing") as tell:
                comparison = compare_edits(
                    one.asked, rows, kind=one.kind, reader=one.reader, papers=measures, least_held=recipe.least_held,
                    seed=recipe.seed, resamples=recipe.resamples,
                    progress=partial(_tell, tell, one.name),
                )  # fmt: skip
            first = one.asked[0].source
            records.append(EditedSetRecord(
                name=_title(one), kind=one.part.kind, about=one.part.about if one.phantoms else _about(one),
                images="phantom" if one.phantoms or one.part.measured is None else one.part.measured.path,
                size_px=first.size, spacing_um=first.spacing_um, comparison=comparison, runs=runs,
            ))  # fmt: skip
            shown[_title(one)] = SetPictures(one.asked, {row.name: row.edits for row in rows})
    except KeyboardInterrupt:
        if where is not None:
            where.print(f"Stopped; everything so far is kept, and the study can go on in {target}")
        raise
    state.wait_for_everyone()
    if not state.is_main_process:
        return target / "index.html"
    record = EditingRecord(
        title=recipe.title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        morphogen=morphogen.__version__,
        recipe=recipe.model_dump(mode="json", exclude_none=True),
        command=command_line(),
        machine=f"{machine_in_words(cpu, state.num_processes)}, {precision_here(recipe.precision, cpu)}",
        budget=recipe.budget.words.replace("method", "training"),
        seconds_total=time.perf_counter() - started + earlier,
        sets=tuple(records),
        notes=_notes(recipe, sets, images),
    )
    return write_editing_page(record, shown, target)


def _tell(tell: Callable[[str], None], name: str, words: str) -> None:
    tell(f"{name}: {words}")


def _require_rows(recipe: EditingRecipe, root: Path, cpu: bool) -> None:
    """Refuse rows that could not be run, and runs that could not be trained."""
    for name, run in recipe.runs.items():
        kind = method_class(run.method)
        if not kind.reads_text:
            raise Problem(f"the run '{name}' is of {run.method}, which reads no texts", do="choose one that does")
        if kind.needs_context != (run.learns == "orders"):
            wanted = "instruct_pix2pix" if run.learns == "orders" else "ddpm"
            raise Problem(f"the run '{name}' is of {run.method}, which does not learn {run.learns}",
                          do=f"choose one that does, such as {wanted}")  # fmt: skip
        settings = method_settings(run.method, run.settings)
        for part in recipe.specimens.values():
            suited = kind.suited(settings, on_gpu=uses_gpu(cpu))
            kind.sizes(suited).check(run.method, ImageShape(1, *part.size))
    for row, asked in recipe.editors.items():
        editor = recipe.editor_of(row)
        kind_of_editor = editor_class(editor)
        editor_settings(editor, asked.settings)
        if not kind_of_editor.model and (asked.run or asked.model):
            raise Problem(f"'{row}': {editor} works without a model", do="leave it out")
        if kind_of_editor.model and not (asked.run or asked.model):
            raise Problem(f"'{row}': {editor} works with {kind_of_editor.model}", do="name a run, or a model")
        if asked.model and not (root / asked.model).is_dir():
            raise Problem(
                f"'{row}': there is no folder {root / asked.model}", do="check the path, and the folder of images"
            )
        learns = "orders" if "words" in kind_of_editor.needs else "captions"
        if asked.run and recipe.runs[asked.run].learns != learns:
            raise Problem(f"'{row}': {editor} works with a run that learns {learns}", do="name such a run")
        parts = _parts(recipe, row, masked=True)
        for what in sorted(set(parts) - kind_of_editor.takes):
            raise Problem(f"'{row}': {editor} takes no {what}", do="leave it out")
        for what in sorted(kind_of_editor.needs - set(parts)):
            do = "set told_where" if what == "mask" else f"tell it {what}"
            raise Problem(f"'{row}': {editor} cannot do without its {what}", do=do)


def _parts(recipe: EditingRecipe, row: str, *, masked: bool) -> tuple[str, ...]:
    """Which parts of an instruction a row is given."""
    takes, asked = editor_class(recipe.editor_of(row)).takes, recipe.editors.get(row)
    if asked is None:
        return ()  # a control
    if asked.told is not None:
        return asked.told
    told = ("caption", "before") if "caption" in takes else ("words",)
    parts = tuple(name for name in told if name in takes)
    return (*parts, "mask") if asked.told_where and masked else parts


def _reads(recipe: EditingRecipe, part: str) -> bool:
    """Whether any row is told that part."""
    return any(part in _parts(recipe, row, masked=True) for row in recipe.editors)


def _paper_measures(recipe: EditingRecipe, size: tuple[int, int]) -> PaperMeasures:
    """The scores that papers report, for images of that size."""
    return PaperMeasures(
        [similarity(name, size=size) for name in recipe.papers if name != "frechet"],
        extractor("alexnet") if "frechet" in recipe.papers else None,
    )


def _phantoms(specimen: str, part: EditedSpecimen, recipe: EditingRecipe) -> tuple[_Set, dict[str, list[KnownTriple]]]:
    """Phantoms to be edited, with everything that is known of them; and the triples of each prompt."""
    asked: list[Asked] = []
    told: list[_Told] = []
    pairs: dict[str, list[KnownTriple]] = {}
    for index, (name, prompt) in enumerate(part.prompts.items()):
        pairs[name] = _pairs(part, prompt, index, recipe)
        for known in pairs[name]:
            before, after = (_said(p.caption, part.caption) for p in (known.triple.before, known.triple.after))
            words = prompt.words or known.triple.instruction
            source, truth = (_bare(picture) for picture in known.pictures)
            asked.append(Asked(
                name, words, source, _bare(neighbour(known)), known.triple.change.reading, truth=truth,
                again=_bare(photographed_again(known)), changed=known.triple.changed, caption=after,
            ))  # fmt: skip
            told.append(_Told(before, after, words, None))
    noise = photographs_differ(asked)
    for k, a in enumerate(asked):
        assert a.truth is not None
        assert a.changed is not None
        changed = truly_changed(a.source, a.truth, a.changed, noise or 0.0)
        asked[k], told[k] = replace(a, changed=changed), replace(told[k], changed=changed)
    _require_readable(recipe, told)
    kind = kind_of_specimen(part.kind)
    reader = Reader(kind, [a.source for a in asked], part.segmentation, part.descriptors)
    _require_readings(reader, asked, kind)
    return _Set(specimen, part, kind, tuple(asked), tuple(told), reader), pairs


def _pairs(part: EditedSpecimen, prompt: PromptRecipe, index: int, recipe: EditingRecipe) -> list[KnownTriple]:
    """Triples of a prompt, all of whose captions tell the edit, if anyone is told captions."""
    changes = changes_of(part.kind, (prompt.edit,))
    if prompt.factor is not None:
        require_factor(changes, prompt.factor)
    found: list[KnownTriple] = []
    number = index * part.images * _MOST_ATTEMPTS
    end = number + part.images * _MOST_ATTEMPTS
    while len(found) < part.images and number < end:
        drawn = known_triples(
            part.kind, count=part.images - len(found), seed=recipe.seed + _EDITED_SEED, names=(prompt.edit,),
            size=part.size, first=number, factor=prompt.factor,
        )  # fmt: skip
        number += len(drawn)
        found += [k for k in drawn if not _reads(recipe, "caption") or
                  k.triple.before.caption != k.triple.after.caption]  # fmt: skip
        if not found:
            break
    if len(found) < part.images:
        raise Problem(f"captions of {part.kind} phantoms don't tell '{prompt.edit}'",
                      do="choose another edit, or leave out the editors that are told captions")  # fmt: skip
    return found


def _said(caption: str, subject: str) -> str:
    """A caption with the recipe's words for what it shows, and what is known of it behind them."""
    of_phantom, comma, known = caption.partition(", ")
    return f"{subject or of_phantom}{comma}{known}"


def _bare(picture: Picture) -> Picture:
    """The picture as a laboratory would have it: nothing is known of it."""
    return replace(picture, labels={}, mask=None)


def _require_readable(recipe: EditingRecipe, told: Sequence[_Told]) -> None:
    """Refuse texts that the encoder cannot read."""
    if not recipe.runs and recipe.clip is None:
        return
    encoder = text_encoder(recipe.text_encoder)
    texts = [t for one in told for t in (one.before, one.caption, one.words)]
    for text in dict.fromkeys(filter(None, texts)):
        encoder(text)


def _require_readings(reader: Reader, asked: Sequence[Asked], kind: Specimen) -> None:
    """Refuse edits of readings that the descriptors of the recipe don't give."""
    read = reader(asked[0].source)
    for a in asked:
        if a.reading not in read:
            raise Problem(f"'{a.prompt}' moves {a.reading}, which the descriptors of the recipe don't read",
                          do=f"add its descriptor, or leave them out for all of {kind.name}")  # fmt: skip


def _measured(
    specimen: str, part: EditedSpecimen, recipe: EditingRecipe, root: Path, known: _Set,
    pairs: dict[str, list[KnownTriple]],
) -> _Set:  # fmt: skip
    """Measured images to be edited: what the edits do to readings that were not asked for is learnt from phantoms."""
    source = part.measured
    assert source is not None
    kind = kind_of_specimen(part.kind)
    images = images_of(source, recipe.seed, root)
    divided = split(images, crop=part.size, seed=recipe.seed)
    held_out = list(fields(divided.held_out, part.size, 100_000, recipe.seed))
    how = part.measured_segmentation or part.segmentation
    reader = Reader(kind, held_out[:_MOST_READ], how, part.descriptors)
    writer = CaptionWriter(kind, reader.segmentation, held_out[:_MOST_READ])
    asked: list[Asked] = []
    told: list[_Told] = []
    beside = _beside(held_out)
    for name, prompt in part.prompts.items():
        of_prompt = [a for a in known.asked if a.prompt == name]
        before = [known.reader(a.source) for a in of_prompt]
        after = [known.reader(a.truth) for a in of_prompt if a.truth is not None]
        others = [known.reader(a.neighbour) for a in of_prompt]
        reading, along = of_prompt[0].reading, moving_along(before, after, others)
        times = _times(before, after)
        chosen = 0
        for picture, other in beside:
            if chosen == part.measured_images:
                break
            read, fraction = reader(picture), float(reader.segmentation.phase(picture).mean())
            if not (LEAST_PHASE <= fraction <= 1 - LEAST_PHASE and math.isfinite(read[reading]) and read[reading]):
                continue
            now, then = (_said(writer(picture, factors), part.caption) for factors in ({}, times))
            if now == then and _reads(recipe, "caption"):
                continue
            chosen += 1
            words = prompt.words or pairs[name][0].triple.instruction
            asked.append(Asked(
                name, words, _bare(picture), _bare(other), reading, factor=times[reading],
                along=along - {reading}, caption=then,
            ))  # fmt: skip
            told.append(_Told(now, then, words, None))
        if chosen < 2:
            size = f"{part.size[0]} x {part.size[1]}"
            raise Problem(f"{source.path} has fewer than two fields of {size} with a {reading} to be edited",
                          do="give more or larger images, or leave measured ones out")  # fmt: skip
    _require_readable(recipe, told)
    training = fields(divided.training, part.size, _MOST_LESSONS, recipe.seed)
    captioned = [replace(p, labels={CAPTION: _said(writer(p, {}), part.caption)}, mask=None) for p in training]
    return _Set(specimen + MEASURED, part, kind, tuple(asked), tuple(told), reader,
                Pictures(captioned, source.path))  # fmt: skip


LEAST_PHASE = 0.02
"""Share that each phase has of a measured field to be edited: of less there is nothing to be changed."""

_MOST_LESSONS = 500
"""Measured fields that a run learns from: each gets a caption of what is measured in it, which takes its time."""

_MOST_READ = 64
"""Measured fields to which segmentation and descriptors are fitted."""


def _beside(images: Sequence[Picture]) -> list[tuple[Picture, Picture]]:
    """Fields with another one of the same specimen each; those of specimens with a single field are left out."""
    by_specimen: dict[str, list[Picture]] = {}
    for picture in images:
        by_specimen.setdefault(picture.origin.specimen, []).append(picture)
    other = {
        id(picture): of_one[(k + 1) % len(of_one)]
        for of_one in by_specimen.values() if len(of_one) > 1 for k, picture in enumerate(of_one)
    }  # fmt: skip
    return [(picture, other[id(picture)]) for picture in images if id(picture) in other]


def _times(before: Sequence[Read], after: Sequence[Read]) -> dict[str, float]:
    """How many times what it was a reading is after an edit, in the median; 1 where it can't be said."""
    found = {}
    for name in before[0]:
        ratios = [b[name] / a[name] for a, b in zip(before, after, strict=True) if a[name] and b[name] / a[name] > 0]
        found[name] = float(np.median(ratios)) if ratios else 1.0
    return found


def _title(one: _Set) -> str:
    """What a set is called on the page."""
    return f"{one.name} phantoms" if one.phantoms else f"{one.name.removesuffix(MEASURED)}, measured"


def _about(one: _Set) -> str:
    assert one.training is not None
    return (
        f"Measured images of {one.training.name}; {len(one.training)} fields to learn from, with captions of what is"
        " measured in them. The true images after are not known."
    )


def _trainings(recipe: EditingRecipe, sets: Sequence[_Set]) -> tuple[int, str]:
    """How many trainings there are, and in words how long they take, if that is known."""
    budgets: list[Budget] = []
    for one in sets:
        budgets += [recipe.budget_of(run) for run, r in recipe.runs.items() if one.phantoms or r.learns == "captions"]
        budgets += [recipe.clip] if recipe.clip is not None else []
    known = [b.seconds for b in budgets if b.seconds is not None]
    return len(budgets), f" ({sum(known) / 60:.0f} min)" if known and len(known) == len(budgets) else ""


def _notes(recipe: EditingRecipe, sets: Sequence[_Set], images: Path | None) -> tuple[str, ...]:
    notes = []
    if images is None and any(part.measured is not None for part in recipe.specimens.values()):
        notes.append("Measured images were not edited: no folder of images was given.")
    if any(not one.phantoms for one in sets):
        notes.append(
            "Of measured images the true ones after are not known: the wanted move is that which the same edit makes on"
            " phantoms, as a factor, and readings that move with it there count neither way."
        )
    return tuple(notes)


@dataclass(frozen=True, slots=True)
class _OneSet:
    """The trainings and edits of one set, in the study's folder."""

    set: _Set
    recipe: EditingRecipe
    target: Path
    root: Path
    cpu: bool

    def trained(self) -> tuple[tuple[MethodRecord, ...], float]:
        """Train what is to be trained; its records, and the time that was spent on it before this call."""
        found, earlier = [], 0.0
        for name, run in self.recipe.runs.items():
            if run.learns == "orders" and not self.set.phantoms:
                continue  # orders are learnt from phantoms alone
            record, spent = self._train(name, run.method, run.learns, run.settings, self.recipe.budget_of(name))
            found.append(record)
            earlier += spent
        if self.recipe.clip is not None:
            record, spent = self._train(CLIP, CLIP, "captions", {}, self.recipe.clip)
            found.append(record)
            earlier += spent
        return tuple(found), earlier

    def _train(
        self, name: str, method: str, learns: str, settings: dict[str, object], budget: Budget
    ) -> tuple[MethodRecord, float]:
        folder = self._folder_of(name)
        resume = (folder / "run.json").exists()
        note, spent, peak_mib = (
            "",
            Run(folder).counters["seconds"] if resume and Run(folder).has_state else 0.0,
            math.nan,
        )
        if resume and (folder / _DONE).exists():
            kept = json.loads((folder / _DONE).read_text(encoding="utf-8"))
            note, peak_mib = kept["note"], kept["peak_memory_mib"] if kept["peak_memory_mib"] is not None else math.nan
        else:
            if PartialState().is_main_process:
                console().print(f"{self.set.name}: {name}")
            images, context = self._lessons(learns)
            with PeakMemory() as peak:
                try:
                    train(
                        method, images, folder, seconds=budget.seconds, images_seen=budget.images,
                        size=self.set.part.size, settings=settings, seed=self.recipe.seed, context=context,
                        conditions=[CAPTION if learns == "captions" else INSTRUCTION],
                        symmetries=frozenset(self.set.kind.symmetries), text_encoder=self.recipe.text_encoder,
                        precision=precision_here(self.recipe.precision, self.cpu), go_on=resume, cpu=self.cpu,
                    )  # fmt: skip
                except DivergedError as error:
                    note = error.what
            peak_mib = peak.mib
            if PartialState().is_main_process:
                cost = {"peak_memory_mib": peak_mib if math.isfinite(peak_mib) else None, "note": note}
                write_text_whole(folder / _DONE, json.dumps(cost))
        run = Run(folder)
        counters = run.counters
        return MethodRecord(
            method=name, title=learner_class(method).title, settings=run.record.settings,
            parameters=run.record.parameters, seconds=counters["seconds"],
            images_seen=int(counters["images_seen"]), steps=int(counters["step"]),
            peak_memory_mib=peak_mib, seconds_per_image=math.nan, device=device_in_words(self.cpu), note=note,
            curve=tuple(CurvePoint(seconds=line["seconds"], images_seen=line["images_seen"], losses=line["losses"])
                        for line in run.progress()),
        ), spent  # fmt: skip

    def _folder_of(self, run: str) -> Path:
        """Where a run is; orders are learnt from phantoms, also for measured images."""
        orders = run in self.recipe.runs and self.recipe.runs[run].learns == "orders"
        name = self.set.name.removesuffix(MEASURED) if orders else self.set.name
        return self.target / "runs" / f"{name}-{run}"

    def _lessons(self, learns: str) -> tuple[Pictures, Pictures | None]:
        """What a run learns from, and what it is told beside it."""
        if self.set.training is not None:
            return self.set.training, None
        triples = self._triples()
        if learns == "orders":
            return triples.after, triples.before
        before = [replace(one, labels={CAPTION: other.labels[CAPTION_BEFORE]})
                  for one, other in zip(triples.before, triples.after, strict=True)]  # fmt: skip
        after = [replace(p, labels={CAPTION: p.labels[CAPTION]}) for p in triples.after]
        return Pictures([*before, *after], "phantoms"), None

    def _triples(self) -> ReadTriples:
        """The triples that runs learn from, drawn once and kept.

        Where a prompt has words of its own, half of its triples are told in them, and have the size that they mean.
        """
        folder = self.target / "triples" / self.set.name
        if folder.exists():
            return read_triples(folder)
        part, each = self.set.part, -(-self.set.part.triples // len(self.set.part.prompts))
        before, after = list[Picture](), list[Picture]()
        for index, prompt in enumerate(part.prompts.values()):
            first, count = index * each, each // 2 if prompt.words else each
            shares = [(first, count, None)] + ([(first + count, each - count, prompt.factor)] if prompt.words else [])
            for number, wanted, factor in shares:
                if not wanted:
                    continue
                drawn = pictures_of(known_triples(part.kind, count=wanted, seed=self.recipe.seed, size=part.size,
                                                  names=(prompt.edit,), first=number, factor=factor))  # fmt: skip
                before += drawn.before
                after += [self._reworded(p, prompt.words if factor is not None else "") for p in drawn.after]
        found = ReadTriples(Pictures(before, "before"), Pictures(after, "after"))
        if PartialState().is_main_process:
            write_triples(found, folder)
        return found

    def _reworded(self, picture: Picture, words: str) -> Picture:
        """The image after, with the recipe's words for what it shows and for the order."""
        labels, subject = dict(picture.labels), self.set.part.caption
        for name in (CAPTION, CAPTION_BEFORE):
            labels[name] = _said(str(labels[name]), subject)
        if words:
            labels[INSTRUCTION] = words
        return replace(picture, labels=labels)

    def rows(self) -> list[EditedSet]:
        """What every editor and every control makes of the images."""
        found = [self._row(row) for row in (*self.recipe.editors, *CONTROLS)]
        if self.set.phantoms:
            everywhere = np.ones(self.set.part.size, np.bool_)
            again = tuple(Edited(a.again, everywhere) for a in self.set.asked if a.again is not None)
            found.append(EditedSet(TRUTH, "the true image, again (control)", "truth", again))
        return found

    def _row(self, row: str) -> EditedSet:
        recipe, editor = self.recipe, self.recipe.editor_of(row)
        asked = recipe.editors.get(row)
        role: RowRole = "editor" if row not in CONTROLS else row  # type: ignore[assignment]
        plain = EditedSet(row, editor_class(editor).title, role, (), told_where=asked is not None and asked.told_where)
        if plain.told_where and not self.set.phantoms:
            return replace(plain, note="it has to be told the region that truly changes, which is not known here")
        folder = self.target / "edits" / f"{self.set.name}-{row}"
        try:
            if not (folder / _DONE).exists():
                self._edit(row, editor, folder)
        except Problem as problem:
            return replace(plain, note=str(problem))
        made = read_images(folder)
        if any(p.size != a.source.size for p, a in zip(made, self.set.asked, strict=True)):
            return replace(plain, note="it changes the size of images, which cannot be held against what was asked")
        regions = (p.pixels[0] > 127 for p in read_images(folder / "regions"))
        edits = tuple(Edited(_bare(replace(p, origin=a.source.origin, spacing_um=a.source.spacing_um)), region)
                      for p, a, region in zip(made, self.set.asked, regions, strict=True))  # fmt: skip
        cost = json.loads((folder / _DONE).read_text(encoding="utf-8"))
        return replace(plain, edits=edits, seconds_per_image=cost["seconds_per_image"])

    def _edit(self, row: str, editor: str, folder: Path) -> None:
        recipe, asked = self.recipe, self.recipe.editors.get(row)
        model = None
        if row == "another":
            model = self._others()
        elif asked is not None and asked.run:
            model = self._folder_of(asked.run)
            if json.loads((model / _DONE).read_text(encoding="utf-8"))["note"]:
                raise Problem(f"the run {asked.run} diverged", do="choose a smaller learning rate")
        elif asked is not None and asked.model:
            model = self.root / asked.model
        settings = dict(asked.settings) if asked is not None else {}
        parts = _parts(recipe, row, masked=self.set.phantoms)
        instructions = [told.instruction(parts) for told in self.set.told]
        sources = Pictures(a.source for a in self.set.asked)
        for source, wish in zip(sources, instructions, strict=True):
            require_sound(editor, source, wish)
        if folder.exists():
            shutil.rmtree(folder)  # edits that were stopped on their way
        console().print(f"{self.set.name}: edits by {row}")
        started = time.perf_counter()
        edit_images(editor, sources, instructions, model=model, settings=settings, seed=recipe.seed,
                    batch_size=_AT_ONCE, folder=folder, cpu=self.cpu)  # fmt: skip
        took = (time.perf_counter() - started) / len(sources)
        write_text_whole(folder / _DONE, json.dumps({"seconds_per_image": took}))

    def _others(self) -> Path:
        """A folder of other images of the kind."""
        folder = self.target / "another" / self.set.name
        if not folder.exists():
            others = self._triples().before if self.set.training is None else self.set.training
            write_images(Pictures([_bare(p) for p in others][:_OTHERS]), folder)
        return folder

    def clip(self) -> ImageText | None:
        """The CLIP of the set, if there is one."""
        return open_image_text(self._folder_of(CLIP)) if self.recipe.clip is not None else None
