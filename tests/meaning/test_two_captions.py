"""Editors driven by two captions, where what an edit should do is known.

Two worlds stand in for what a network learns. In ``grains`` the denoiser is exact: each image has one grain with a
bright rim at one of six places, in one of three lights; its inside is dark, or bright, as the caption says. So the
region that an edit of the caption changes is the inside of that grain. In ``painted`` the denoiser is attention alone:
at each place the mean of the colours of the words, by how much the place attends to them, with hand-made attention.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from torch import nn

from morphogen.editing.editor import Instruction, editor_class, editor_settings
from morphogen.images.intensity import IntensityMap
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.exact_denoisers import GaussianMixture
from morphogen.networks.attention_control import attention_weights
from morphogen.pretrained.text_encoder import EncodedText, Word
from morphogen.problems import Problem
from morphogen.training.train import train
from small_encoder import tiny_encoder
from small_sets import SMALL, random_set

DARK, BRIGHT = "rock with dark pores", "bright grains of rock"
SIZE = (24, 36)
NOISE = 0.15  # of the exact images, of variance about 1
GREY = IntensityMap(low=0.0, high=65535.0, dtype="uint16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that has hardly begun, whose network is replaced by what is exact."""
    encoder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    images = random_set(4, SIZE, dtype="uint16")
    labelled = type(images)(
        replace(p, labels={**p.labels, "caption": (DARK, BRIGHT)[k % 2]}) for k, p in enumerate(images)
    )
    run = train(
        "ddpm", labelled, tmp_path_factory.mktemp("runs") / "run", images_seen=4, size=SIZE,
        settings=SMALL["ddpm"] | {"predicts": "x0"}, conditions=["caption"], text_encoder=encoder, cpu=True,
    )  # fmt: skip
    record = run.record.model_copy(update={"intensity": GREY})  # the whole grey scale, so that nothing is clipped
    (run.folder / "run.json").write_text(record.model_dump_json(), encoding="utf-8")
    return run.folder


def opened(name, folder, **settings):
    """An editor on the run, whose images have mean 0 and variance 1 at a third of the grey scale."""
    editor = editor_class(name)(editor_settings(name, settings), folder, cpu=True)
    editor.captioned.method.mean.zero_()
    editor.captioned.method.deviation.fill_(1 / 3)
    return editor


# A world of grains: exact denoisers.


def inside_of(place):
    """The inside of a grain and its rim, ``(height, width)`` each."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    down, across = divmod(place, 3)
    distance = np.hypot(rows - (5.5 + 12 * down), columns - (5.5 + 12 * across))
    return distance < 4, (distance >= 4) & (distance < 5)


def grain(place, light, value):
    inside, rim = inside_of(place)
    slope = np.linspace(-0.4, 0.4, SIZE[1])[None] * (light - 1)
    return np.where(inside, value, np.where(rim, 1.8, slope))


def mixture(*values):
    means = np.stack([grain(place, light, v)[None] for v in values for place in range(6) for light in range(3)])
    means = torch.from_numpy(means).float()
    count = len(means)
    return GaussianMixture(torch.full((count,), 1 / count), means, torch.full_like(means, NOISE**2))


WORLD = {DARK: mixture(-1.2), BRIGHT: mixture(0.6), "": mixture(-1.2, 0.6)}


def in_grains(name, folder, **settings):
    """An editor whose denoiser is exact, told by the vector of the caption which grains there are."""
    editor = opened(name, folder, **settings)
    vectors = {caption: torch.from_numpy(editor.captioned.encoder(caption).pooled) for caption in (DARK, BRIGHT)}

    def denoise(x, sigma, given):
        out = torch.empty_like(x)
        for row, (vector, told) in enumerate(zip(given.vector, given.told[:, -1], strict=True)):
            near = min(vectors, key=lambda caption: float((vectors[caption] - vector).square().sum()))
            out[row : row + 1] = WORLD[near if told else ""].denoise(x[row : row + 1], sigma[row : row + 1])
        return out

    editor.captioned.method.denoise = denoise
    return editor


def pictures(count, value=-1.2, seed=3):
    """Images of the world, number k with its grain at place 5 k modulo 6."""
    random = np.random.default_rng(seed)
    found = []
    for k in range(count):
        x0 = grain(5 * k % 6, k % 3, value) + NOISE * random.standard_normal(SIZE)
        found.append(Picture(GREY.to_grey(x0[None] / 3), (2.0, 2.0), Origin(f"s{k}"), {"caption": DARK}))
    return found


def in_units(picture):
    return 3 * GREY.to_unit(picture.pixels)[0]


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("name", ["diffedit", "ledits"])
def test_the_region_is_what_the_captions_differ_in_and_only_that_is_edited(folder, name):
    settings = {
        "diffedit": {"smoothing": 0.5, "steps": 12, "noise": 1.5, "mask_noise": 0.8, "mask_noises": 6},
        "ledits": {"masks": "estimates", "share": 0.06, "steps": 12, "noise": 2.0, "scale": 1.0},
    }[name]
    sources = pictures(3)
    editor = in_grains(name, folder, **settings)
    for source in sources:
        editor.check(source, Instruction(caption=BRIGHT))
    edits = editor.edit(sources, [Instruction(caption=BRIGHT)] * 3, seed=0, first=0)
    for k, edit in enumerate(edits):
        inside, rim = inside_of(5 * k % 6)
        assert overlap(edit.region, inside) >= 0.6  # the aim is 0.5
        before, after = in_units(edit.source), in_units(edit.picture)
        within = edit.region & inside
        assert before[within].mean() == pytest.approx(-1.2, abs=0.15)
        # The flow from so low a noise does not go all of the way to 0.6: what was there has a share of NOISE / noise.
        assert after[within].mean() == pytest.approx(0.45, abs=0.2)
        kept = ~edit.region
        assert np.array_equal(edit.picture.pixels[:, kept], edit.source.pixels[:, kept])
        assert abs(after[rim].mean() - 1.8) < 0.35  # what both captions say alike
        assert edit.picture.pixels.dtype == np.uint16
        assert edit.picture.labels["asked caption"] == BRIGHT
        assert "caption" not in edit.picture.labels
    again = editor.edit(sources[1:2], [Instruction(caption=BRIGHT)], seed=0, first=1)[0]
    assert np.array_equal(again.picture.pixels, edits[1].picture.pixels)  # the same in any batch
    half = np.zeros(SIZE, np.bool_)
    half[:, :4] = True
    masked = editor.edit(sources[:1], [Instruction(caption=BRIGHT, mask=half)], seed=0, first=0)[0]
    assert np.array_equal(masked.region, edits[0].region & half)


def test_a_concept_of_negative_scale_is_taken_away(folder):
    editor = in_grains("ledits", folder, masks="estimates", share=0.06, steps=12, noise=2.0)
    (source,) = pictures(1)
    less = editor.edit([source], [Instruction(caption=BRIGHT, emphasis={BRIGHT: -0.25})], seed=0, first=0)[0]
    inside, _ = inside_of(0)
    darker = (in_units(source) - in_units(less.picture))[inside & less.region]
    assert darker.mean() == pytest.approx(0.25 * 1.8, abs=0.05)


def test_the_noise_of_steps_keeps_what_the_edit_is_not_about(folder):
    """Prompt-to-prompt without any attention to inject: the camera's noise of the source comes through the edit.

    Up to this noise a grain stays where it was; above, only attention could hold it there.
    """
    editor = in_grains("prompt_to_prompt", folder, steps=12, noise=2.0)
    sources = pictures(2)
    edits = editor.edit(sources, [Instruction(caption=BRIGHT, before=DARK)] * 2, seed=0, first=0)
    for k, edit in enumerate(edits):
        inside, _ = inside_of(5 * k % 6)
        changed = in_units(edit.picture) - in_units(edit.source)
        np.testing.assert_allclose(changed[inside], 1.8, atol=0.05)
        assert np.abs(changed[~inside]).max() < 0.05  # new noise of the camera would be three times as much


# A painted world: attention by hand.

COLOURS = {"pores": -0.9, "grains": 0.9, "vugs": -0.3, "large": 0.3, "cement": 0.6}
ACTS = {"pores": "left", "grains": "right", "vugs": "right", "large": "left", "cement": "right"}
WORDS = list(COLOURS)
SURE = 12.0


class Reads:
    """An encoder in which each word is its own token, and its state says which word it is."""

    folder = "hand-made"

    def __call__(self, text):
        states = np.zeros((len(text.split()), 16), np.float32)
        for state, word in zip(states, text.split(), strict=True):
            if word in WORDS:
                state[WORDS.index(word)] = 1
        return EncodedText(states.mean(0), states)

    def words(self, text, *, marks=False):
        return tuple(Word(word, (k,)) for k, word in enumerate(text.split()))


class Painter(nn.Module):
    """Each place has the mean colour of the words it attends to; a token in front, grey, is always there."""

    tokens_in_front = 1
    is_cross_attention = True

    def __init__(self):
        super().__init__()
        self.control = None
        self.seen = []

    def forward(self, images, level, vector, told, tokens):
        self.seen.append(images)
        count, _, height, width = images.shape
        left = torch.arange(height * width) % width < width // 2
        query = torch.stack([left, ~left], dim=1).float().expand(count, 1, -1, -1)  # (B, 1, N, 2)
        keys = torch.tensor([[SURE * (ACTS[w] == side) for side in ("left", "right")] for w in WORDS]) * 2**0.5
        colours = torch.tensor([*COLOURS.values()])
        front = nn.functional.pad(torch.ones(count, 1, 1), (tokens.shape[2] - 1, 0))
        states = torch.cat([front, tokens], dim=1)
        key = (states[..., : len(WORDS)] @ keys)[:, None]  # (B, 1, M, 2)
        weights = attention_weights(query, key, (states[..., -1] > 0)[:, None, None, :])
        if self.control is not None:
            weights = self.control(weights, True)
        value = (states[..., : len(WORDS)] @ colours)[:, None, :, None]
        return (weights @ value).view(count, 1, height, width)


class ConvolutionalPainter(nn.Module):
    """The same, with the attention that a UNet has: diffusers', its weights by hand."""

    tokens_in_front = 1

    def __init__(self):
        super().__init__()
        self.seen = []
        self.attention = Attention(query_dim=2, cross_attention_dim=17, heads=1, dim_head=2)
        for part in (self.attention.to_q, self.attention.to_k, self.attention.to_v, self.attention.to_out[0]):
            part.weight.data.zero_()
        self.attention.to_out[0].bias.data.zero_()
        self.attention.to_q.weight.data += torch.eye(2)
        self.attention.to_out[0].weight.data += torch.eye(2)
        for k, word in enumerate(WORDS):
            sides = [SURE * (ACTS[word] == side) * 2**0.5 for side in ("left", "right")]
            self.attention.to_k.weight.data[:, k] = torch.tensor(sides)
            self.attention.to_v.weight.data[0, k] = COLOURS[word]

    def forward(self, images, level, vector, told, tokens):
        self.seen.append(images)
        count, _, height, width = images.shape
        left = torch.arange(height * width) % width < width // 2
        query = torch.stack([left, ~left], dim=1).float().expand(count, -1, -1)  # (B, N, 2)
        front = nn.functional.pad(torch.ones(count, 1, 1), (tokens.shape[2] - 1, 0))
        states = torch.cat([front, tokens], dim=1)
        left_out = -10_000.0 * (states[..., -1] <= 0).float()[:, None]  # (B, 1, M), as UNet2DConditionModel has it
        found = self.attention(query, encoder_hidden_states=states, attention_mask=left_out)
        return found[..., 0].view(count, 1, height, width)


def painted(name, folder, network=Painter, **settings):
    editor = opened(name, folder, **settings)
    editor.captioned.method.network = network()
    editor.captioned.encoder = Reads()
    return editor


LEFT = np.arange(SIZE[1]) < SIZE[1] // 2


def painting(seed=0):
    """What "pores grains" paints, with a texture that no word tells of."""
    texture = 0.3 * np.random.default_rng(seed).standard_normal(SIZE)
    x0 = np.where(LEFT[None], COLOURS["pores"], COLOURS["grains"]) + texture
    return Picture(GREY.to_grey(x0[None] / 3), (2.0, 2.0), Origin("p"), {"caption": "pores grains"})


def edited(editor, caption, source=None, **more):
    source = painting() if source is None else source
    instruction = Instruction(caption=caption, **more)
    editor.check(source, instruction)
    (edit,) = editor.edit([source], [instruction], seed=0, first=0)
    changed = in_units(edit.picture) - in_units(source)
    return edit, changed[:, LEFT].mean(), changed[:, ~LEFT].mean(), np.abs(changed - np.median(changed, 0)).max()


@pytest.mark.parametrize("network", [Painter, ConvolutionalPainter])
@pytest.mark.parametrize("start", ["edit_friendly", "ddim"])
def test_a_swapped_word_acts_where_the_other_did_and_all_else_stays(folder, start, network):
    """Left to itself the new word would act on the right, and nothing would be left on the left."""
    editor = painted("prompt_to_prompt", folder, network, start=start, steps=6, across=[0, 1])
    edit, left, right, uneven = edited(editor, "vugs grains")
    assert left == pytest.approx(COLOURS["vugs"] - COLOURS["pores"], abs=0.01)
    assert right == pytest.approx(0, abs=0.01)
    assert uneven < 0.01  # the texture is kept
    assert edit.region.all()
    own = painted("prompt_to_prompt", folder, network, start=start, steps=6, across=[0, 0])
    _, _, right, _ = edited(own, "vugs grains")
    assert right < -0.3


def test_attention_is_kept_for_the_span_of_steps_that_is_asked(folder):
    """The estimate of the painted world is the last step's alone, so the span has to reach it."""
    _, _, right, _ = edited(painted("prompt_to_prompt", folder, steps=6, across=[0, 0.8]), "vugs grains")
    assert right < -0.3
    _, _, right, _ = edited(painted("prompt_to_prompt", folder, steps=6, across=[0.8, 1]), "vugs grains")
    assert right == pytest.approx(0, abs=0.01)


def test_an_added_word_acts_where_it_wants_and_the_others_where_they_did(folder):
    editor = painted("prompt_to_prompt", folder, steps=6, across=[0, 1])
    _, left, right, _ = edited(editor, "pores cement grains")
    assert left == pytest.approx(0, abs=0.01)
    assert right == pytest.approx(COLOURS["cement"] / 2, abs=0.02)  # of its own attention there, half


@pytest.mark.parametrize("network", [Painter, ConvolutionalPainter])
def test_a_word_is_weighed_where_it_acts(folder, network):
    editor = painted("prompt_to_prompt", folder, network, steps=6)
    edit, left, right, _ = edited(editor, "pores grains", emphasis={"Pores": 0.5})
    assert left == pytest.approx(-0.5 * COLOURS["pores"], abs=0.01)
    assert right == pytest.approx(0, abs=0.01)
    assert edit.maps["attention to pores"][:, LEFT].mean() == pytest.approx(0.5, abs=0.02)
    assert edit.maps["attention to pores"][:, ~LEFT].max() < 0.02
    same, *_ = edited(editor, "pores grains", emphasis={"pores": 1.0})
    assert np.array_equal(same.picture.pixels, same.source.pixels)  # to the bit: nothing was asked


def test_a_mask_holds_the_source_outside(folder):
    mask = np.zeros(SIZE, np.bool_)
    mask[5:15] = True
    editor = painted("prompt_to_prompt", folder, steps=6, across=[0, 1])
    edit, *_ = edited(editor, "vugs grains", mask=mask)
    pairs = [images[:, 0] for images in editor.captioned.method.network.seen if len(images) == 2]
    assert len(pairs) == 6
    for source, other in pairs:  # at every level, not only in the end
        assert torch.equal(source[torch.from_numpy(~mask)], other[torch.from_numpy(~mask)])
    assert not torch.equal(*pairs[-1])
    changed = in_units(edit.picture) - in_units(edit.source)
    assert np.array_equal(edit.region, mask)
    assert not changed[~mask].any()
    assert changed[5:15, LEFT].mean() == pytest.approx(0.6, abs=0.02)


def test_concepts_act_each_in_its_place_and_by_its_scale(folder):
    """Where a place attends to no word it is grey, as if nothing were told."""
    editor = painted("ledits", folder, steps=6, masks="attention", share=0.5, scale=1.5)
    source = replace(painting(), labels={})
    edit, left, right, uneven = edited(editor, "pores; cement", source, emphasis={"cement": -0.5, "Pores": 1.0})
    assert np.array_equal(edit.maps["mask of pores"] > 0, np.tile(LEFT, (SIZE[0], 1)))
    assert left == pytest.approx(COLOURS["pores"], abs=0.01)
    assert right == pytest.approx(-0.5 * COLOURS["cement"], abs=0.01)
    assert uneven < 0.01
    one, left, _, _ = edited(editor, "pores", source)
    assert left == pytest.approx(1.5 * COLOURS["pores"], abs=0.01)
    assert np.array_equal(one.region, np.tile(LEFT, (SIZE[0], 1)))
    assert np.array_equal(one.picture.pixels[:, :, ~LEFT], source.pixels[:, :, ~LEFT])


# Bad input.


@pytest.mark.parametrize(
    ("name", "instruction", "labels", "message"),
    [
        ("prompt_to_prompt", Instruction(caption=BRIGHT), {}, "nothing says what the image shows now"),
        ("prompt_to_prompt", Instruction(caption=DARK), {"caption": DARK}, "shows what is asked already"),
        ("prompt_to_prompt", Instruction(caption=DARK, emphasis={"vugs": 2}), {"caption": DARK},
         "'vugs' is no word of the caption: choose among rock, with, dark, pores"),
        ("prompt_to_prompt", Instruction(caption=DARK, emphasis={"dark": np.nan}), {"caption": DARK}, "finite"),
        ("prompt_to_prompt", Instruction(caption=BRIGHT, asked={"porosity": 1.0}), {"caption": DARK},
         "'porosity' is no condition of this run beside its caption"),
        ("diffedit", Instruction(caption=DARK), {"caption": DARK}, "both captions are"),
        ("diffedit", Instruction(caption="rock " * 80), {}, "has 82 tokens"),
        ("ledits", Instruction(caption=" ; "), {}, "holds no concept"),
        ("ledits", Instruction(caption="a root; A root"), {}, "given twice"),
        ("ledits", Instruction(caption="a root", emphasis={"rock": 2.0}), {}, "'rock' is no concept"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_a_line(folder, name, instruction, labels, message):
    editor = opened(name, folder)
    with pytest.raises(Problem, match=message):
        editor.check(replace(painting(), labels=labels), instruction)


@pytest.mark.parametrize("name", ["prompt_to_prompt", "diffedit", "ledits"])
def test_levels_and_spans_that_do_not_exist_are_refused(folder, name):
    with pytest.raises(Problem, match=r"not above the run's lowest noise level: give more than 0\.01"):
        opened(name, folder, noise=0.01).check(painting(), Instruction(caption=BRIGHT))
    with pytest.raises(Problem, match="is 'x'"):
        opened(name, folder, noise="x")
    if name == "prompt_to_prompt":
        with pytest.raises(Problem, match="the lower one first"):
            opened(name, folder, across=[0.8, 0.2])


def test_pictures_that_the_run_does_not_know_are_refused(folder):
    editor = opened("diffedit", folder)
    source = painting()
    for wrong, message in (
        (replace(source, pixels=source.pixels.astype("uint8")), "is uint8, and the run knows uint16"),
        (replace(source, pixels=source.pixels.repeat(3, axis=0)), "has 3 channels"),
        (source.crop(0, 0, 20, 36), "smaller than the 24 x 36"),
    ):
        with pytest.raises(Problem, match=message):
            editor.check(wrong, Instruction(caption=BRIGHT))


def test_runs_that_say_nothing_of_captions_are_refused(folder, tmp_path):
    def run(method, name, **options):
        images = random_set(4, (16, 24))
        labelled = type(images)(
            replace(p, labels={**p.labels, "caption": (DARK, BRIGHT)[k % 2]}) for k, p in enumerate(images)
        )
        settings = SMALL[method] | options.pop("settings", {})
        return train(method, labelled, tmp_path / name, images_seen=4, size=(16, 24), settings=settings, cpu=True,
                     **options).folder  # fmt: skip

    encoder = opened("diffedit", folder).captioned.encoder.folder
    told = {"conditions": ["caption"], "text_encoder": encoder}
    silent = run("ddpm", "silent")
    plain = run("dit", "plain", **told)
    always = run("ddpm", "always", settings={"condition_dropout": 0.0}, **told)
    gan = run("dcgan", "gan")
    for name in ("prompt_to_prompt", "diffedit", "ledits"):
        with pytest.raises(Problem, match="was trained without captions"):
            opened(name, silent)
        with pytest.raises(Problem, match="is no denoiser"):
            opened(name, gan)
    for name in ("prompt_to_prompt", "ledits"):
        with pytest.raises(Problem, match="does not read its captions by attention across"):
            opened(name, plain)
    opened("ledits", plain, masks="estimates")
    opened("diffedit", plain)
    image = replace(random_set(1, (16, 24))[0], labels={})
    with pytest.raises(Problem, match="it cannot be asked without a caption"):
        opened("ledits", always, masks="estimates").check(image, Instruction(caption=DARK))
    with pytest.raises(Problem, match="there is no folder"):
        opened("diffedit", tmp_path / "nowhere")
