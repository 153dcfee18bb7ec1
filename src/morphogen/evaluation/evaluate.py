"""Evaluate one or more generated sets against a measured set, from nothing but the two sets of images."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from morphogen.evaluation import controls
from morphogen.evaluation.caption_scores import caption_of, caption_scores
from morphogen.evaluation.compare import compare
from morphogen.evaluation.compared_set import ComparedSet
from morphogen.evaluation.descriptors.vector import DescriptorVector
from morphogen.evaluation.feature_table import FeatureExtractor, Remembering
from morphogen.evaluation.features.extractor import extractor, extractor_names
from morphogen.evaluation.fields import fields, halves, turned_fields
from morphogen.evaluation.image_text import ImageText
from morphogen.evaluation.memorisation import FEWEST as FEWEST_HELD_OUT
from morphogen.evaluation.memorisation import matched_crop, memorisations
from morphogen.evaluation.paired import PairedScore, paired_scores
from morphogen.evaluation.records import CaptionScore, Comparison, Memorisation
from morphogen.evaluation.segmentation.segmentation import Segmentation, fit_segmentation
from morphogen.evaluation.similarities.similarity import Similarity, similarity, similarity_names
from morphogen.images.image_set import ImageSet, Pictures, common_size
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import TRAINED_ON, TRAINED_THROUGH, Picture
from morphogen.problems import Problem
from morphogen.specimens.specimen import Specimen
from morphogen.specimens.specimen import specimen as kind_of_specimen

DESCRIPTORS = "descriptors"
BY_CHANCE = "held out"
"""Name under which the closest pairs of held-out measured fields stand beside those of the generated sets."""
TURNED_FIELDS = 64
"""Training fields, before flips and turns, among which nearest neighbours in features are sought."""

DEFAULT_FEATURES = ("vgg16", DESCRIPTORS)

IMAGENET = frozenset({"alexnet", "vgg16", "inception"})
"""Features learnt from the same photographs: what pleases one of these networks tends to please the others."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What a comparison found, and what its pictures are drawn from.

    Attributes:
        comparison: the records.
        segmentation: how the phase was told in every set.
        closest: for each generated set its most suspicious images, each beside the training crop that it resembles
            most, and under ``BY_CHANCE`` those of the held-out fields; empty where no training images were given.
    """

    comparison: Comparison
    segmentation: Segmentation
    closest: Mapping[str, tuple[tuple[Picture, Picture], ...]]


def evaluate(
    *,
    measured: ImageSet,
    generated: ImageSet | Mapping[str, ImageSet],
    specimen: str = "rock",
    floor: ImageSet | None = None,
    training: ImageSet | None = None,
    another: Mapping[str, ImageSet] = MappingProxyType({}),
    segmentation: str | Segmentation | None = None,
    features: Sequence[str] = DEFAULT_FEATURES,
    inception: Path | str | None = None,
    download_inception: bool = False,
    fields_at_most: int = 256,
    intensity: IntensityMap | None = None,
    in_micrometres: bool = False,
    clips: Sequence[ImageText] = (),
    caption: str | None = None,
    seed: int = 0,
    resamples: int = 200,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """How far generated images are from measured ones, and how far measured ones are from each other.

    Fields of the size of the generated images are cut from the measured ones without overlap. Where no
    ``floor`` is given, the measured set is split in two, by specimen or region: one half is the
    reference, the other shows what a perfect generator would score.

    Args:
        measured: measured images, at least as large as the generated ones.
        generated: one generated set, or several by name; all their images of one size.
        specimen: kind of specimen: "rock", "fiber", "root".
        floor: other measured images of the same kind; by default the training images where they are given.
        training: the images that the methods were trained on, whole: they are searched for copies, and enter the
            feature likelihood.
        another: measured images of other specimens, by name, as a control.
        segmentation: how the phase is told, "otsu", "level=112", "masks", ..., or one that was fitted already; by
            default as the kind says.
        features: what distances are computed over: "descriptors", "vgg16", "alexnet", "inception".
        inception: TorchScript file of the Inception network, for "inception".
        download_inception: fetch the standard file (96 MB) instead; never done unless asked for.
        fields_at_most: at most so many fields of each set.
        intensity: grey range of the networks' input; by default that of the measured images.
        in_micrometres: refuse images whose pixel size is unknown, instead of counting lengths in pixels.
        clips: CLIPs, for the CLIPScore of every set whose images have captions.
        caption: what all images are held against, instead of their own captions.
        seed: of fields, noise and bootstrap.
        resamples: replicates of the bootstrap.
        progress: told in a few words what is being done.

    Raises:
        Problem: sets that cannot be compared.
    """
    named = dict(generated) if isinstance(generated, Mapping) else {"generated": generated}
    if not named:
        raise Problem("there is no generated set", do="give at least one")
    size = common_size(next(iter(named.values())), "the generated set")
    _require_others(measured, named)
    through = trained_through(named)
    require_other_features(features, through)
    if in_micrometres:
        known = {"the floor": floor, "the training set": training}
        given = {name: images for name, images in known.items() if images is not None}
        _require_spacing({"the measured set": measured, **given, **named, **another})
    floor = floor if floor is not None else training
    reference, other = halves(measured, size, seed) if floor is None else (measured, floor)
    intensity = intensity or IntensityMap.of([*reference, *other])
    kind = kind_of_specimen(specimen)
    reference, other = (
        fields(reference, size, fields_at_most, seed),
        fields(other, size, fields_at_most, seed),
    )
    if segmentation is None or isinstance(segmentation, str):
        segmentation = fit_segmentation(segmentation or kind.segmentation, reference, kind.phase_is)
    of_size = {name: fields(images, size, fields_at_most, seed) for name, images in named.items()}
    others = {name: fields(images, size, fields_at_most, seed) for name, images in another.items()}
    spoken, silent = _spoken_of(reference, other, of_size, others, clips, caption, seed)
    extracting = [Remembering(e) for e in extractors(features, segmentation, inception, download_inception)]
    found = compare(
        measured=reference,
        floor=other,
        generated=of_size,
        another=others,
        specimen=kind,
        extractors=extracting,
        intensity=intensity,
        segmentation=segmentation,
        diversity=diversity_measures(features, size),
        training=other if training is floor else training and fields(training, size, fields_at_most, seed),
        seed=seed,
        resamples=resamples,
        progress=progress,
    )
    found = _marked(found, through)
    notes = (*found.notes, *_seen_in_training(measured, named), *_related(features, through), *silent)
    memorised: tuple[Memorisation, ...] = ()
    closest: dict[str, tuple[tuple[Picture, Picture], ...]] = {}
    if training is not None and len(reference) < FEWEST_HELD_OUT:
        notes += (
            f"Copies of training images were not looked for: {len(reference)} held-out fields are fewer than the"
            f" {FEWEST_HELD_OUT} that say what chance finds.",
        )
    elif training is not None:
        try:
            memorised = _memorised(training, reference, of_size, kind, extracting, intensity, seed, resamples, progress)
        except Problem as problem:  # what has been found must not be lost over it
            notes += (f"Copies of training images could not be looked for: {problem.what}.",)
        notes += tuple(
            f"{of_set.compared}: {remark.rstrip('.')}."
            for of_set in memorised
            for remark in (of_set.invalid, *of_set.notes)
            if remark
        )
        closest = {
            of_set.compared: tuple(
                (of_size[of_set.compared][pair.field], matched_crop(training, pair, size)) for pair in of_set.pairs
            )
            for of_set in memorised
        }
        if memorised:  # alike for all sets: what chance finds
            closest[BY_CHANCE] = tuple(
                (reference[pair.field], matched_crop(training, pair, size)) for pair in memorised[0].held_out_pairs
            )
    return Evaluation(
        found.model_copy(update={"notes": notes, "memorisations": memorised, "caption_scores": tuple(spoken)}),
        segmentation,
        closest,
    )


def _spoken_of(
    reference: Pictures,
    floor: Pictures,
    generated: Mapping[str, Pictures],
    another: Mapping[str, Pictures],
    clips: Sequence[ImageText],
    caption: str | None,
    seed: int,
) -> tuple[list[CaptionScore], list[str]]:
    """CLIPScores of all sets and of noise with the captions of the reference, and remarks on generated sets without.

    Raises:
        Problem: no generated set has captions, and none is given.
    """
    if caption is not None and not clips:
        raise Problem("a caption is given, and no CLIP to read it", do="name one too")
    if not clips:
        return [], []
    if caption is None and not any(all(caption_of(p.labels) for p in images) for images in generated.values()):
        raise Problem("no generated set has captions to be held against", do="give one for all images")
    told = zip(controls.noise(reference, seed), reference, strict=True)
    noise = Pictures(replace(made, labels=picture.labels) for made, picture in told)
    sets = [
        ComparedSet("measured", "measured", reference),
        ComparedSet("floor", "floor", floor),
        *(ComparedSet(name, "generated", images) for name, images in generated.items()),
        *(ComparedSet(name, "another", images) for name, images in another.items()),
        ComparedSet("noise", "noise", noise),
    ]
    scores, notes = caption_scores(sets, clips, caption, seed=seed)
    return scores, [note for note in notes if any(note.startswith(f"{name} has") for name in generated)]


def trained_through(generated: Mapping[str, ImageSet]) -> dict[str, frozenset[str]]:
    """For each generated set whose pictures say so, the pretrained features that its method was trained to please."""
    found = {
        name: frozenset(
            features
            for picture in images
            if TRAINED_THROUGH in picture.labels
            for features in str(picture.labels[TRAINED_THROUGH]).split(", ")
        )
        for name, images in generated.items()
    }
    return {name: networks for name, networks in found.items() if networks}


def require_other_features(features: Sequence[str], through: Mapping[str, frozenset[str]]) -> None:
    """Refuse to score a set by nothing but the features that its method was trained to please.

    Args:
        features: what distances are to be computed over.
        through: for each set, what its method was trained through; nothing for sets that are not named.

    Raises:
        Problem: one of them would have no other score.
    """
    for name, networks in through.items():
        if not set(features) - networks:
            raise Problem(
                f"'{name}' was trained through {' and '.join(sorted(networks))}, and would be scored by nothing else",
                do=f"ask for '{DESCRIPTORS}' as well",
            )


def _marked(found: Comparison, through: Mapping[str, frozenset[str]]) -> Comparison:
    """The same findings, with whatever reads features that a set's method was trained to please marked as such."""

    def reads(text: str, compared: str) -> bool:
        # The name of a network stands in that of its features: "VGG16 relu5_3 mean, no resize", "LPIPS (AlexNet)".
        return any(re.search(rf"\b{re.escape(n)}\b", text, re.IGNORECASE) for n in through.get(compared, ()))

    if not through:
        return found
    mark = {"trained_through": True}
    return found.model_copy(
        update={
            "scores": tuple(
                s.model_copy(update=mark) if s.role == "generated" and reads(s.features, s.compared) else s
                for s in found.scores
            ),
            "likelihoods": tuple(
                x.model_copy(update=mark) if x.role == "generated" and reads(x.features, x.compared) else x
                for x in found.likelihoods
            ),
            "diversities": tuple(
                d.model_copy(update=mark) if d.role == "generated" and reads(d.metric, d.compared) else d
                for d in found.diversities
            ),
        }
    )


def _related(features: Sequence[str], through: Mapping[str, frozenset[str]]) -> list[str]:
    """A reservation for every set that is scored by a relative of the network that its method was trained through."""
    notes = []
    for name, networks in through.items():
        relatives = sorted((set(features) & IMAGENET) - networks) if networks & IMAGENET else []
        if relatives:
            beside = (
                "trust them where the descriptors agree" if DESCRIPTORS in features else "ask for 'descriptors' too"
            )
            notes.append(
                f"{name}: its method was trained through {' and '.join(sorted(networks))}, and"
                f" {' and '.join(relatives)} learnt from the same photographs, so that distances over it may flatter"
                f" these images; {beside}."
            )
    return notes


def _require_others(measured: ImageSet, generated: Mapping[str, ImageSet]) -> None:
    """Refuse the measured images, or one set twice, as generated ones."""
    seen = {measured.fingerprint: "the measured set"}
    for name, images in generated.items():
        if images.fingerprint in seen:
            raise Problem(
                f"'{name}' and {seen[images.fingerprint]} are the same images", do="check which set was meant"
            )
        seen[images.fingerprint] = f"'{name}'"


def _require_spacing(sets: Mapping[str, ImageSet]) -> None:
    for name, images in sets.items():
        if not all(math.isfinite(s) for picture in images for s in picture.spacing_um):
            raise Problem(
                f"micrometres were asked for, but the pixel size of {name} is unknown",
                do="say how large its pixels are, or don't ask for micrometres",
            )


def _memorised(
    training: ImageSet,
    held_out: ImageSet,
    generated: Mapping[str, ImageSet],
    kind: Specimen,
    extracting: Sequence[FeatureExtractor],
    intensity: IntensityMap,
    seed: int,
    resamples: int,
    progress: Callable[[str], None] | None,
) -> tuple[Memorisation, ...]:
    """Copies by pixels, and by the features of the first network where there is one."""
    network = next((e for e in extracting if e.name != DESCRIPTORS), None)
    size = common_size(held_out)
    look = partial(
        memorisations,
        training=training,
        held_out=held_out,
        generated=generated,
        seed=seed,
        resamples=resamples,
        progress=progress,
    )
    if network is None:
        return look()
    return look(
        training_features=network(turned_fields(training, size, kind.symmetries, TURNED_FIELDS, seed), intensity),
        held_out_features=network(held_out, intensity),
        generated_features={name: network(images, intensity) for name, images in generated.items()},
    )


def _seen_in_training(measured: ImageSet, generated: Mapping[str, ImageSet]) -> list[str]:
    """A reservation for every generated set whose method has seen the images that it is measured against."""
    return [
        f"{name}: its method was trained on the measured images themselves, so that copies of them would score well;"
        " hold some back with 'morphogen split'"
        for name, images in generated.items()
        if any(picture.labels.get(TRAINED_ON) == measured.fingerprint for picture in images)
    ]


def diversity_measures(features: Sequence[str], size: tuple[int, int]) -> list[Similarity]:
    """How images of one set are compared among themselves: SSIM, and LPIPS where its networks are asked for.

    Raises:
        Problem: images too small for one of them, or weights that are missing.
    """
    names = ["ssim", "lpips"] if {"vgg16", "alexnet"} & set(features) else ["ssim"]
    return [similarity(name, size=size) for name in names]


def extractors(
    names: Sequence[str],
    segmentation: Segmentation,
    inception: Path | str | None = None,
    download_inception: bool = False,
) -> list[FeatureExtractor]:
    """The feature extractors of these names.

    Raises:
        Problem: an unknown name, or weights that are missing.
    """
    made: list[FeatureExtractor] = []
    for name in names:
        if name == DESCRIPTORS:
            made.append(DescriptorVector(segmentation))
        elif name == "inception":
            if download_inception:
                made.append(extractor(name, download=True))
            elif inception is not None:
                made.append(extractor(name, weights=Path(inception)))
            else:
                raise Problem(
                    "the Inception features need weights",
                    do="give the path of their TorchScript file or ask for the download",
                )
        elif name not in feature_names():
            raise Problem(f"there are no features '{name}'", do=f"choose among {', '.join(feature_names())}")
        else:
            made.append(extractor(name))
    return made


def feature_names() -> list[str]:
    """What distances can be computed over."""
    return [DESCRIPTORS, *extractor_names()]


def evaluate_pairs(
    *,
    measured: ImageSet,
    generated: ImageSet,
    measures: Sequence[str] = (),
    grey_range: tuple[float, float] | None = None,
) -> list[PairedScore]:
    """SSIM, MS-SSIM and LPIPS of images that belong together, by file name.

    Args:
        measured: the reference images, all of one size.
        generated: their partners, of equal names, sizes and types.
        measures: names of similarities; all by default.
        grey_range: grey levels that stand for black and white. By default the full range of an integer type, so
            that a pair scores the same whatever else is in the folder; floats have none and must be told.

    Raises:
        Problem: the sets are not paired, or floats without a range.
    """
    size = common_size(measured, "the measured set")
    dtype = measured[0].pixels.dtype
    if grey_range is None:
        if dtype.kind != "u":
            raise Problem("float images have no range of their own", do="say which two grey levels are black and white")
        grey_range = (0.0, float(2 ** (8 * dtype.itemsize) - 1))
    try:
        intensity = IntensityMap(low=grey_range[0], high=grey_range[1], dtype=dtype.name)
    except ValidationError:
        raise Problem(
            f"{grey_range[0]:g} to {grey_range[1]:g} is no grey range", do="give the darker grey level first"
        ) from None
    return paired_scores(
        measured=measured,
        generated=generated,
        measures=[similarity(name, size=size) for name in (measures or similarity_names())],
        intensity=intensity,
    )
