"""What is sensible with an image set, in plain words; docs/describe.md has the rules by number, with their reasons.

The rules look at the card and at nothing else. Figures of training are those of docs/results.md: on two threads of a
CPU at 64 x 64, from one set of two carbonate slices each.
"""

import math
from dataclasses import dataclass

from morphogen.evaluation.intervals import SPECIMENS_NEEDED
from morphogen.evaluation.memorisation import FEWEST
from morphogen.report.card import Advice, Card, CorrelationFact
from morphogen.report.notation import counted, duration, listed, number
from morphogen.specimens.specimen import Specimen

LENGTHS_A_CROP = 8
"""Correlation lengths along the side of a crop."""

MULTIPLE_PX, SMALLEST_CROP, LARGEST_CROP = 32, 64, 128
"""Sizes that all methods take; the largest is what a CPU trains in hours."""

HELD_OUT = 0.3
"""Share that ``split`` holds back."""

FEW, ENOUGH = 64, 500
"""Training fields with which StyleGAN2 on pretrained features was measured without copies (docs/results.md, "64
training
images"), and about those with which diffusion was ("Two carbonate slices, 64 x 64")."""

DIFFUSION_IMAGES, DIFFUSION_SECONDS = 44_544, 600
"""Crops seen by the DDPM of docs/results.md in ten minutes; half of them did not reach its distance."""

STYLEGAN_IMAGES, STYLEGAN_SECONDS = 22_624, 600
"""Crops seen by the StyleGAN2 of "64 training images" in ten minutes."""

FINEST_PX = 2.0
"""Correlation length in pixels that shrinking leaves at least: thinner things would vanish."""

COARSE_EDGE_PX = 5.0
"""Width of edges from which on images can be shrunk by two: they keep 2.5 pixels, as sharp as a camera makes them."""


@dataclass(frozen=True, slots=True)
class Crop:
    """The crop that is advised.

    Attributes:
        side: in pixels, after shrinking.
        shrink: whole factor by which images are made smaller first.
        lengths: correlation lengths along its side; None where the length is not known.
    """

    side: int
    shrink: int
    lengths: float | None


def advised_crop(card: Card) -> Crop:
    """A crop that holds several structures, that the methods take, and that fits into the images."""
    least = min(int(n) for size in card.sizes for n in size.split(" x "))
    found = farthest(card)
    length = found.length_px if found is not None else None
    needed = LENGTHS_A_CROP * length if length is not None else SMALLEST_CROP
    shrink = 1
    while (
        needed / shrink > LARGEST_CROP
        and least // (2 * shrink) >= SMALLEST_CROP
        and _finest_px(card) / (2 * shrink) >= FINEST_PX
    ):
        shrink *= 2
    wanted = math.ceil(needed / shrink / MULTIPLE_PX) * MULTIPLE_PX
    side = min(max(wanted, SMALLEST_CROP), LARGEST_CROP)
    room = least // shrink
    if side > room:
        side = max(room // MULTIPLE_PX * MULTIPLE_PX, min(room, MULTIPLE_PX))
    return Crop(side, shrink, side * shrink / length if length else None)


def fields_of(card: Card, crop: Crop) -> float:
    """How many independent fields of the size of that crop there are."""
    return card.really_independent * math.prod(card.crop_px) / (crop.side * crop.shrink) ** 2


def advice(card: Card, kind: Specimen | None) -> tuple[Advice, ...]:
    """What is sensible, the gravest first.

    Args:
        card: of the set; its own advice is not read.
        kind: of specimen, where it was given.
    """
    crop = advised_crop(card)
    independent = fields_of(card, crop)
    return (
        *_first_of_all(card),
        _crop(card, crop),
        _fields(card, crop, independent),
        *_methods(card, crop, independent),
        *_splitting(card),
        *_conditions(card, kind),
    )


def command(card: Card, crop: Crop) -> str:
    """The command that trains what is advised."""
    words = ["morphogen train", method_of(fields_of(card, crop)), "parts/training"]
    words += [f"--specimen {card.kind}"] if card.kind else []
    words += [f"--shrink {crop.shrink}"] if crop.shrink > 1 else []
    return " ".join(
        [*words, f"--crop {crop.side} {crop.side}", f"--images-seen {_images(card, crop)}", "--out runs/first"]
    )


def method_of(independent: float) -> str:
    """The method to begin with, for so many independent fields, with its settings."""
    return "ddpm" if (1 - HELD_OUT) * independent >= ENOUGH else "stylegan2 -p discriminator=projected"


def _first_of_all(card: Card) -> list[Advice]:
    """What is wrong with the set and should be put right before anything is trained."""
    found = []
    if card.leaks is not None and card.leaks.any:
        found.append(
            Advice(
                about="leak",
                words=f"What is in both sets tells nothing about new images: {leaks_in_words(card)}. Split again with"
                " 'morphogen split', by specimen.",
                rule=1,
                warning=True,
            )
        )
    if card.levels is not None and card.levels <= 4:
        found.append(
            Advice(
                about="grey levels",
                words=f"There are only {counted(card.levels)} grey levels: this is a segmentation. A network that"
                " draws it"
                " learns steps; put it into masks/ beside the grey images, and train --with-masks.",
                rule=2,
                warning=True,
            )
        )
    if card.identical:
        extra = sum(len(group) - 1 for group in card.identical)
        found.append(
            Advice(
                about="duplicates",
                words=f"{_images_word(extra).capitalize()} {'is' if extra == 1 else 'are'} a copy of another, also if"
                " flipped or"
                " turned. Remove them: they count twice, and may be in training and held-out images alike.",
                rule=3,
                warning=True,
            )
        )
    if card.near:
        pairs = len(card.near)
        found.append(
            Advice(
                about="overlaps",
                words=f"{pairs} pair{'s' * (pairs != 1)} of images show{'s' * (pairs == 1)} one place. Give both of a"
                " pair"
                " the same specimen (--specimen-pattern, or a manifest), so that no split parts them.",
                rule=3,
                warning=True,
            )
        )
    if card.constant:
        few = len(card.constant)
        found.append(
            Advice(
                about="empty images",
                words=f"{_images_word(few).capitalize()} show{'s' * (few == 1)} nothing. Leave"
                f" {'it' if few == 1 else 'them'} out.",
                rule=4,
                warning=True,
            )
        )
    if card.clipped:
        few = len(card.clipped)
        found.append(
            Advice(
                about="clipping",
                words=f"{_images_word(few).capitalize()} {'has' if few == 1 else 'have'} more than 1 % of"
                f" {'its' if few == 1 else 'their'}"
                " pixels at an end of the grey levels. If that is the camera's end, what was brighter or darker is"
                " lost, and"
                " generated images will pile up there too.",
                rule=4,
                warning=True,
            )
        )
    if card.artefacts:
        kinds = [
            f"{word} in {_images_word(len({a.image for a in card.artefacts if a.kind == kind}))}"
            for kind, word in (("ring", "rings"), ("row", "bright or dark rows"), ("column", "bright or dark columns"))
            if any(a.kind == kind for a in card.artefacts)
        ]
        found.append(
            Advice(
                about="artefacts",
                words=f"There are {listed(kinds)} of {card.artefacts_looked_at} looked at: of the instrument, or"
                " something"
                " straight in the picture. A generator learns them as part of the specimen; correct or crop them away.",
                rule=5,
                warning=True,
            )
        )
    if any(not math.isfinite(n) for spacing in card.spacing_um for n in spacing):
        found.append(
            Advice(
                about="pixel size",
                words="The pixel size is not known, so that lengths are in pixels. Give it with --pixel-size.",
                rule=6,
            )
        )
    elif len(card.spacing_um) > 1:
        found.append(
            Advice(
                about="pixel size",
                words="Pixel sizes differ. A network sees pixels: bring all images to one size, or train on one of"
                " them.",
                rule=6,
                warning=True,
            )
        )
    return found


def _crop(card: Card, crop: Crop) -> Advice:
    shrunk = f" after --shrink {crop.shrink}" if crop.shrink > 1 else ""
    found = farthest(card)
    if found is None or found.length_px is None or crop.lengths is None:
        why = "how far structures reach could not be told from these images; look whether a crop holds several of them"
        return Advice(about="crop", words=f"{crop.side} x {crop.side} pixels{shrunk}: {why}.", rule=7)
    where = f"the correlation length of the {found.of} is {_in_unit(found)}"
    enough = crop.lengths >= LENGTHS_A_CROP * 0.99
    holds = f"a crop is {number(crop.lengths)} of them wide"
    words = f"{crop.side} x {crop.side} pixels{shrunk}: {where}, and {holds}."
    if not enough:
        words += (
            f" That is fewer than {LENGTHS_A_CROP}: a crop shows a part of a structure and not how they lie to each"
            " other."
            " Larger images, or images of less magnification, would show that."
        )
    if enough and (found.integral_range_px2 or 0) > (crop.side * crop.shrink) ** 2 / 4:
        words += " But the images also vary over lengths that no such crop holds: crops differ, and none shows why."
    edge = next((f.mean for f in card.facts if f.name == "edge width" and f.n_invalid < f.fields), None)
    if edge is not None and card.spacing_um and math.isfinite(card.spacing_um[0][0]):
        edge /= min(card.spacing_um[0])
    if crop.shrink == 1 and edge is not None and edge >= COARSE_EDGE_PX:
        words += f" Edges are {number(edge)} pixels wide, so --shrink 2 would lose little and train four times as fast."
    return Advice(about="crop", words=words, rule=7, warning=not enough)


def _fields(card: Card, crop: Crop, independent: float) -> Advice:
    words = f"The images have room for {_about(independent)} independent fields of that size"
    if card.slices is not None and card.slices.alike > 1.5:
        words += f", as {number(round(card.slices.alike, 1))} neighbouring slices stand for one"
    if card.pieces is not None:
        words += f", and hold {_about(card.pieces)} independent pieces of structure"
    held = HELD_OUT * independent
    words += f". Of these, {_about(held)} would be held out."
    few = held < FEWEST
    if few:
        words += (
            f" The search for copies needs {FEWEST} held-out fields: with fewer, nobody can tell learning from copying."
            " Measure more, or take smaller crops and say so."
        )
    return Advice(about="how much there is", words=words, rule=8, warning=few)


def _methods(card: Card, crop: Crop, independent: float) -> list[Advice]:
    training = (1 - HELD_OUT) * independent
    if training < FEW:
        words = (
            f"About {_about(training)} fields to learn from are fewer than any method here was measured with ({FEW})."
            " StyleGAN2 with a projected discriminator is the one that was measured with so few; its adaptive"
            " augmentation"
            " is made for that. Diffusion models hand back what they have seen hundreds of times. Whatever is"
            " trained, look"
            " for copies: 'morphogen evaluate --training'."
        )
    elif training < ENOUGH:
        words = (
            f"Begin with StyleGAN2 and a projected discriminator: with {FEW} training fields it was measured to hand"
            " back"
            f" no copies. A ddpm was measured with about {ENOUGH} and more; below, its copies have to be looked for"
            " ('morphogen evaluate --training')."
        )
    else:
        words = (
            "Diffusion (ddpm) and StyleGAN2 with a projected discriminator were both measured with so many fields."
            " StyleGAN2"
            " came nearer in five minutes than a ddpm in ten, by features that are relatives of those it was trained"
            " through."
        )
    images = _images(card, crop)
    area = (crop.side / 64) ** 2
    diffusion = method_of(independent) == "ddpm"
    seconds = area * (DIFFUSION_SECONDS if diffusion else STYLEGAN_SECONDS)
    views = images / max(training, 1)
    budget = (
        f"About {images:,} crops seen, which is {duration(seconds)} on two threads of a CPU at this size, and each"
        " field"
        f" {_about(views)} times. Train twice as long and see whether the distance still falls: half of that was too"
        " little"
        " for diffusion on two carbonate slices."
        if diffusion
        else f"About {images:,} crops seen, which is {duration(seconds)} on two threads of a CPU at this size, and each"
        f" field {_about(views)} times. Look at the distance and at the copies after half and after twice of it."
    )
    return [
        Advice(about="method", words=words, rule=9, warning=training < FEW),
        Advice(about="training", words=budget, rule=10),
        Advice(about="first command", words=command(card, crop), rule=10),
    ]


def _splitting(card: Card) -> list[Advice]:
    found = []
    if card.slices is not None and card.slices.as_files:
        found.append(
            Advice(
                about="specimens",
                words="The files look like slices of one volume, and neighbours are alike: they are one specimen. Say"
                " so with"
                " --specimen-pattern, or training images will be beside held-out ones.",
                rule=11,
                warning=True,
            )
        )
    elif card.specimens == 1:
        found.append(
            Advice(
                about="specimens",
                words="There is one specimen: what is held out is another region of it, and nothing here can say how"
                " much"
                " specimens differ.",
                rule=11,
            )
        )
    elif card.specimens < SPECIMENS_NEEDED:
        found.append(
            Advice(
                about="specimens",
                words=f"With {counted(card.specimens)} specimens intervals know of fields only; from"
                f" {SPECIMENS_NEEDED} on"
                " they know of specimens too.",
                rule=11,
            )
        )
    return found


def _conditions(card: Card, kind: Specimen | None) -> list[Advice]:
    found = []
    if card.masks == card.images:
        fraction = kind.fraction.replace(" ", "_") if kind else "FRACTION"
        found.append(f"masks: --with-masks draws images and masks together, --condition {fraction} asks for a share")
    classes = [f for f in card.labels if len(f.classes) >= 2]
    found += [f"{len(f.classes)} values of '{f.name}': --condition {f.name.replace(' ', '_')}" for f in classes]
    if card.captions == card.images:
        found.append("captions: --condition caption")
    if not found:
        return []
    return [Advice(about="can be asked for", words=f"All images have {'; '.join(found)}.", rule=12)]


def leaks_in_words(card: Card) -> str:
    """What two sets have in common."""
    leaks = card.leaks
    if leaks is None:
        return ""
    parts = []
    if leaks.specimens:
        more = f" and {len(leaks.specimens) - 5} more" if len(leaks.specimens) > 5 else ""
        parts.append(f"specimen{'s' * (len(leaks.specimens) > 1)} {', '.join(leaks.specimens[:5])}{more}")
    if leaks.overlapping:
        parts.append(f"{leaks.overlapping} pairs of regions that overlap")
    if leaks.neighbouring:
        parts.append(f"{leaks.neighbouring} pairs of neighbouring slices")
    if leaks.identical:
        parts.append(f"{_images_word(len(leaks.identical))} with the same pixels")
    if leaks.near:
        parts.append(f"{len(leaks.near)} pair{'s' * (len(leaks.near) > 1)} of images that show one place")
    return listed(parts)


def farthest(card: Card) -> CorrelationFact | None:
    """What reaches furthest, of the grey levels and the phase: a crop has to hold several of that."""
    known = [c for c in card.correlations if c.length_px is not None]
    return max(known, key=lambda c: c.length_px or 0.0, default=None)


def _finest_px(card: Card) -> float:
    """The shorter of their correlation lengths in pixels: shrinking must leave something of that."""
    return min((c.length_px for c in card.correlations if c.length_px is not None), default=math.inf)


def _images(card: Card, crop: Crop) -> int:
    """Crops to be seen, in hundreds."""
    of = DIFFUSION_IMAGES if method_of(fields_of(card, crop)) == "ddpm" else STYLEGAN_IMAGES
    return round(of, -2)


def _in_unit(c: CorrelationFact) -> str:
    length = c.length_px or math.nan
    px = f"{number(round(length, 1))} pixels"
    return px if c.pixel_um is None else f"{number(float(f'{length * c.pixel_um:.3g}'))} µm ({px})"


def _about(value: float) -> str:
    """A count that is no more than an estimate, to two digits."""
    if value < 1:
        return "fewer than one" if value > 0 else "no"
    digits = 1 - math.floor(math.log10(value))
    return f"{round(value, min(0, digits)):,.0f}"


def _images_word(count: int) -> str:
    return f"{counted(count)} image{'s' * (count != 1)}"
