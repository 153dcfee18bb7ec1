"""What a vector of CLIP holds comes back in images drawn for it; what it does not hold is another's each time."""

import numpy as np
import pytest

from morphogen.editing.edit import edit
from morphogen.editing.editor import Instruction
from morphogen.generation.decoder import interpolate_images
from morphogen.generation.generate import generate
from morphogen.generation.prior import Prior
from morphogen.images.image_set import Pictures
from morphogen.training.image_text import ClipRun
from morphogen.training.image_vectors import clip_of
from small_unclip import SAID, SIZE, decoder_run, prior_run, share_down, waves


def shares(pictures) -> np.ndarray:
    return np.array([share_down(picture) for picture in pictures])


def changed(found) -> np.ndarray:
    return np.array([np.abs(e.picture.pixels.astype(float) - e.source.pixels).mean() for e in found.each])


@pytest.mark.parametrize(("share", "side"), [(0.05, -1), (0.95, 1)])
def test_a_variation_is_of_the_group_of_its_image(share, side):
    images = waves(16, 3, share, SIZE)
    found = edit("variations", images, model=decoder_run().folder, settings={"guidance": 2}, cpu=True)
    assert ((shares(found.pictures) - 0.5) * side > 0).mean() >= 0.8
    assert changed(found).min() > 10  # with phases of its own: CLIP does not see where a wave is
    other = edit("variations", images, model=decoder_run().folder, settings={"guidance": 2}, seed=1, cpu=True)
    assert changed(other).min() > 10
    assert not np.array_equal(found.pictures[0].pixels, other.pictures[0].pixels)


def test_the_weaker_a_variation_the_more_it_keeps_down_to_the_image_itself():
    images = waves(8, 3, 0.8, SIZE)
    means = []
    for strength in (0.0, 0.3, 0.7, 1.0):
        found = edit("variations", images, model=decoder_run().folder, settings={"strength": strength}, cpu=True)
        means.append(changed(found).mean())
    assert means[0] < 0.5  # rounding
    assert (np.diff(means) > 1).all()


def test_the_way_between_two_images_goes_from_one_to_the_other():
    ends = Pictures([waves(1, 1, 0.05, SIZE)[0], waves(1, 2, 0.95, SIZE)[0]])
    way = np.mean([shares(interpolate_images(decoder_run(), ends, steps=5, seed=s, cpu=True)) for s in range(4)], 0)
    assert (np.diff(way) > 0).all()
    assert way[0] < 0.45
    assert way[-1] > 0.75
    line = interpolate_images(decoder_run(), ends, steps=5, through=True, cpu=True)
    assert (np.diff(shares(line)) > 0).all()
    for end, made in zip(ends, (line[0], line[4]), strict=True):
        assert np.abs(made.pixels.astype(float) - end.pixels).max() <= 1
    assert (line[0].labels["from image"], line[0].labels["to image"], line[3].labels["share"]) == ("0", "0", 0.75)


def test_an_image_turns_towards_what_a_caption_says():
    images = waves(8, 3, 0.8, SIZE)

    def turned(amount, caption, before=""):
        asked = Instruction(caption=SAID[caption], before=before)
        return edit(
            "text_differences", images, asked, model=decoder_run().folder, settings={"amount": amount}, cpu=True
        )

    assert changed(turned(0.0, "across")).max() < 0.5
    some, much = turned(0.1, "across"), turned(0.5, "across")
    assert 0.8 > shares(some.pictures).mean() > shares(much.pictures).mean()
    assert shares(much.pictures).mean() < 0.5
    assert shares(turned(0.5, "down", SAID["across"]).pictures).mean() > 0.8


def test_a_prior_s_vector_is_nearer_to_the_images_of_its_caption_than_to_others():
    clip, prior = ClipRun(clip_of(decoder_run())), Prior(prior_run())
    of_group = {name: clip.images(waves(16, 11, share)) for name, share in (("down", 0.9), ("across", 0.1))}
    for name, other in (("down", "across"), ("across", "down")):
        vectors = prior([SAID[name]] * 24, seed=0).numpy()
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
        nearer = vectors @ of_group[name].mean(0) > vectors @ of_group[other].mean(0)
        assert nearer.mean() >= 0.9
        # They vary as the vectors of images do, and don't sit where the caption's own vector is.
        assert vectors.std(0).max() > 0.3 * of_group[name].std(0).max()
        assert (vectors @ of_group[name].T).mean() > (clip.captions([SAID[name]]) @ of_group[name].T).mean()


def test_of_two_vectors_the_one_nearer_to_the_caption_is_kept():
    caption = ClipRun(clip_of(prior_run())).captions([SAID["down"]])[0]
    two, one = Prior(prior_run()), Prior(prior_run())
    one._learner.settings = one._learner.settings.model_copy(update={"candidates": 1})
    kept, first = (prior([SAID["down"]] * 12, seed=3).numpy() for prior in (two, one))
    gained = (kept - first) @ caption
    assert gained.min() > -1e-5
    stayed = np.isclose(kept, first, atol=1e-5).all(1)
    assert 2 <= stayed.sum() <= 10
    assert gained[~stayed].min() > 0


def test_a_caption_becomes_images_of_its_group():
    drawn = {}
    for name in SAID:
        drawn[name] = generate(decoder_run(), count=12, prior=prior_run(), asked={"caption": SAID[name]}, guidance=2,
                               cpu=True)  # fmt: skip
    assert shares(drawn["down"]).mean() > 0.7
    assert shares(drawn["across"]).mean() < 0.35
    label = drawn["down"][0].labels
    assert (label["asked caption"], label["prior"].split()[0]) == (SAID["down"], "prior")
    # Without a caption, images are drawn for the vectors of training crops, and vary as these do.
    assert shares(generate(decoder_run(), count=16, cpu=True)).std() > 0.2
