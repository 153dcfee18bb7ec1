"""The page of an evaluation: what a study's page says of one specimen, for images that were made anywhere."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import morphogen
from morphogen.evaluation.evaluate import Evaluation
from morphogen.evaluation.records import Usefulness
from morphogen.images.cropping import independent_fields
from morphogen.images.image_set import ImageSet
from morphogen.report.page import Exhibits, write_page
from morphogen.report.study_record import Plain, SpecimenRecord, StudyRecord


def write_evaluation_page(
    evaluation: Evaluation,
    folder: Path,
    *,
    kind: str,
    measured: ImageSet,
    generated: Mapping[str, ImageSet],
    another: Mapping[str, ImageSet],
    training: ImageSet | None,
    usefulness: Usefulness | None = None,
    arguments: Plain,
    command: str,
    seconds: float,
) -> Path:
    """Write ``index.html``, ``study.json`` and ``figures/``.

    Args:
        evaluation: what was found.
        folder: where; made where it is missing.
        kind: kind of specimen.
        measured: the measured images.
        generated: the generated sets by name.
        another: measured images of other specimens, by name.
        training: the images that the methods were trained on, where they are known.
        usefulness: what the generated images are worth for training a network, where that was asked.
        arguments: what was asked for, as it is to stand on the page.
        command: the command that was typed.
        seconds: what it took.

    Returns:
        The path of ``index.html``.

    Raises:
        Problem: the folder cannot be written.
    """
    comparison = evaluation.comparison
    size = comparison.field_px
    name = getattr(measured, "name", kind)
    record = SpecimenRecord(
        name=Path(name).name or kind,
        kind=kind,
        about=f"{len(measured)} measured images and {sum(map(len, generated.values()))} generated ones.",
        images=name,
        training_fields_independent=independent_fields(training, size) if training is not None else 0.0,
        held_out_fields_independent=independent_fields(measured, size),
        crop_px=size,
        spacing_um=comparison.spacing_um,
        split="As it was given.",
        comparison=comparison,
        methods=(),
        usefulness=usefulness,
    )
    study = StudyRecord(
        title=f"Evidence: {', '.join(generated)} against measured {kind}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        morphogen=morphogen.__version__,
        recipe=arguments,
        command=command,
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        budget="",
        seconds_total=seconds,
        specimens=(record,),
    )
    pictures = {record.name: {"measured": measured, **generated, **another}}
    exhibits = {record.name: Exhibits(evaluation.segmentation, evaluation.closest)}
    return write_page(study, pictures, folder, exhibits)
