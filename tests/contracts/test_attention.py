"""Attention that is watched and changed, in the networks as they are: where words act, and edits from a seed."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save

from morphogen.cli import cli
from morphogen.editing.editor import Instruction, editor_class, editor_settings
from morphogen.editing.prompt_to_prompt import _Pair
from morphogen.generation.attend import attend
from morphogen.generation.captioned import CaptionedRun
from morphogen.generation.generate import generate
from morphogen.images.folders import read_images
from morphogen.mathematics.noise_levels import level_of_batch
from morphogen.networks.attention_control import Watch, controlled, looks_across
from morphogen.pretrained.text_encoder import TextEncoder, tokens_of
from morphogen.problems import Problem
from morphogen.report.attention_figure import attention_png
from morphogen.training.train import train
from small_encoder import tiny_encoder
from small_sets import SMALL, random_set

BEFORE, AFTER = "rock with dark pores", "a rock with bright grains"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def captioned():
    images = random_set(4)
    return type(images)(
        replace(p, labels={**p.labels, "caption": (BEFORE, AFTER)[k % 2]}) for k, p in enumerate(images)
    )


@pytest.fixture(scope="module", params=["ddpm", "dit"])
def run(request, encoder, tmp_path_factory):
    settings = SMALL[request.param] | ({"conditioning": "cross_attention"} if request.param == "dit" else {})
    made = train(
        request.param, captioned(), tmp_path_factory.mktemp("runs") / "run", images_seen=24, size=(16, 24),
        settings=settings | {"learning_rate": 0.02}, conditions=["brightness", "caption"], text_encoder=encoder,
        cpu=True,
    )  # fmt: skip
    listen(made.folder / "weights.safetensors")
    return made


def listen(path):
    """Make much of what so short a training hardly uses: attention, and the prediction itself."""
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    random = torch.Generator().manual_seed(0)
    for name, tensor in tensors.items():
        if re.search(r"(attn[12]|attention|across)\..*weight|conv_out\.weight|network\.out\.weight", name):
            tensors[name] = 0.3 * torch.randn(tensor.shape, generator=random)
    path.write_bytes(save(tensors, metadata=metadata))


def test_words_know_their_tokens(encoder):
    read = TextEncoder(encoder)
    text = "Rock, with (dark) pores!"
    assert [(w.text, w.tokens) for w in read.words(text)] == [
        ("Rock", (1,)), ("with", (3,)), ("dark", (5,)), ("pores", (7,)),
    ]  # fmt: skip
    everything = read.words(text, marks=True)
    assert [t for word in everything for t in word.tokens] == list(range(len(read(text).states)))
    assert tokens_of("dark pores", read.words("rock with dark pores and Dark pores")) == (3, 4, 6, 7)
    with pytest.raises(Problem, match=r"'bright' is no word of the caption: choose among Rock, with, dark, pores"):
        tokens_of("bright", read.words(text))


def denoised(opened, control=None):
    given = opened.given([captioned()[0]] * 2, [BEFORE, ""], [{"brightness": 0.3}, {}])
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 1, 16, 24), np.float32))
    method = opened.method
    with torch.inference_mode():
        if control is None:
            return method.denoise(x, level_of_batch(0.7, x), given)
        with controlled(method.network, control):
            return method.denoise(x, level_of_batch(0.7, x), given)


def test_watching_changes_nothing_and_is_over_when_it_is_over(run):
    opened = CaptionedRun(run, cpu=True, across=True)
    plain = denoised(opened)
    watch = Watch(1)
    torch.testing.assert_close(denoised(opened, watch), plain, rtol=1e-4, atol=1e-5)  # diffusers' own, and the kernel's
    calls = watch.calls
    assert calls > 0
    assert torch.equal(denoised(opened), plain)
    assert watch.calls == calls
    shares = watch.shares((16, 24))
    assert shares.shape == (1, opened.tokens_in_front + 8, 16, 24)
    torch.testing.assert_close(shares.sum(1), torch.ones(1, 16, 24))
    front, words = opened.tokens_in_front, 6
    assert shares[:, : front + words].min() > 0
    assert not shares[:, front + words :].any()  # beyond the end of the caption there is nothing to attend to
    untold = Watch(2)
    denoised(opened, untold)
    assert not untold.shares((16, 24))[1, front:].any()  # what is left out is not attended to


def test_attention_that_is_changed_changes_the_image(run):
    opened = CaptionedRun(run, cpu=True)
    plain = denoised(opened)

    def swapped(weights, across):
        return weights if across else weights.roll(1, dims=2)

    assert (denoised(opened, swapped) - plain).abs().max() > 1e-3
    assert looks_across(opened.method.network)


def test_maps_are_of_the_images_that_generate_draws(run, tmp_path):
    options = {"count": 3, "seed": 4, "asked": {"brightness": 0.5}, "guidance": 2.0, "cpu": True}
    found = attend(run, "a rock with dark rock", folder=tmp_path / "out", batch_size=2, **options)
    same = generate(run, **options | {"asked": {"brightness": 0.5, "caption": "a rock with dark rock"}})
    for one, other in zip(found.images, same, strict=True):
        assert np.abs(one.pixels.astype(int) - other.pixels).max() <= 1
    assert found.words == ("a", "rock", "with", "dark", "rock (2)")
    assert found.maps.shape == (3, 5, 16, 24)
    assert 0 < found.maps.min() < found.maps.sum(1).max() < 1
    assert found.maps.std((2, 3)).min() > 0
    written = read_images(tmp_path / "out" / "maps")
    assert len(written) == 15
    assert (written[6].labels["word"], written[6].labels["image"]) == ("rock", 1.0)
    assert np.array_equal(written[6].pixels[0], found.maps[1, 1])
    assert len(read_images(tmp_path / "out")) == 3


def test_measured_images_are_looked_at_and_told_what_they_show(run):
    images = captioned()
    found = attend(run, BEFORE, images=images, count=3, cpu=True)
    assert found.maps.shape == (3, 4, 16, 24)
    assert all(p.size == (16, 24) for p in found.images)
    one = attend(run, BEFORE, images=images, count=3, batch_size=1, cpu=True)
    np.testing.assert_allclose(one.maps, found.maps, atol=1e-5)
    with pytest.raises(Problem, match="is uint16, and the run knows uint8"):
        attend(run, BEFORE, images=random_set(2, dtype="uint16"), cpu=True)


def test_an_edit_from_a_seed_starts_where_the_image_did(run):
    sources = list(generate(run, count=2, seed=5, asked={"caption": BEFORE}, guidance=1.5, solver="heun", cpu=True))
    assert sources[0].labels["solver"] == "heun"
    editor = editor_class("prompt_to_prompt")(
        editor_settings("prompt_to_prompt", {"start": "seed"}), run.folder, cpu=True
    )
    same = Instruction(caption=BEFORE, emphasis={"dark": 1.0})
    editor.check(sources[0], same)
    for edit in editor.edit(sources, [same, same], seed=0, first=0):
        assert np.abs(edit.picture.pixels.astype(int) - edit.source.pixels).max() <= 1
    other = Instruction(caption=AFTER)
    edits = editor.edit(sources, [other, other], seed=0, first=0)
    assert set(edits[0].maps) == {f"attention to {w}" for w in AFTER.split()}
    asked = {"caption": AFTER, "brightness": sources[1].labels["asked brightness"]}
    drawn = generate(run, count=2, seed=5, asked=asked, guidance=1.5, solver="heun", cpu=True)[1]
    assert np.abs(drawn.pixels.astype(int) - sources[1].pixels).max() > 5
    assert np.abs(edits[1].picture.pixels.astype(int) - sources[1].pixels).max() > 5

    def by_spans(across, itself):
        spans = editor_settings("prompt_to_prompt", {"start": "seed", "across": across, "itself": itself})
        one = editor_class("prompt_to_prompt")(spans, run.folder, cpu=True)
        return one.edit(sources[1:], [other], seed=0, first=0)[0].picture.pixels.astype(int)

    alone = by_spans([0, 0], [0, 0])  # nothing injected: what the other caption draws
    assert np.abs(alone - drawn.pixels).max() <= 1
    assert np.abs(alone - by_spans([0, 0.5], [0, 0])).max() > 1
    assert np.abs(alone - by_spans([0, 0], [0, 0.5])).max() > 1
    with pytest.raises(Problem, match="does not say that this run drew it from a seed"):
        editor.check(captioned()[0].crop(0, 0, 16, 24), other)
    with pytest.raises(Problem, match="is not what the run draws from its seed"):
        editor.edit([replace(sources[0], pixels=255 - sources[0].pixels)], [other], seed=0, first=0)


def test_what_an_edit_attends_to_is_what_the_image_did_for_the_span_that_is_asked(run, monkeypatch):
    used_by, taken = _Pair.__call__, []

    def looked(pair, weights, across):
        used = used_by(pair, weights, across)
        if pair.pairs:
            taken.append((across, pair.keeps_across if across else pair.keeps_itself, weights[:2], used[:2]))
        return used

    monkeypatch.setattr(_Pair, "__call__", looked)
    settings = {"steps": 4, "across": [0, 0.5], "itself": [0.75, 1]}
    editor = editor_class("prompt_to_prompt")(editor_settings("prompt_to_prompt", settings), run.folder, cpu=True)
    swapped = Instruction(caption="rock with dark grains", before=BEFORE)
    editor.edit([captioned()[0].crop(0, 0, 16, 24)], [swapped], seed=0, first=0)
    for across, share in ((True, 0.5), (False, 0.25)):
        here = [(kept, weights, used) for of, kept, weights, used in taken if of == across]
        assert sum(kept for kept, _, _ in here) == share * len(here) > 0
        assert max(float((weights[1] - weights[0]).abs().max()) for _, weights, _ in here) > 1e-3
        for kept, weights, used in here:
            torch.testing.assert_close(used[0], weights[0])
            torch.testing.assert_close(used[1], weights[0 if kept else 1])


def test_any_picture_comes_back_where_nothing_is_asked(run):
    """By inversion under guidance, also of images larger than the run's, through windows."""
    editor = editor_class("prompt_to_prompt")(
        editor_settings("prompt_to_prompt", {"steps": 4, "guidance": 2.0}), run.folder, cpu=True
    )
    same = Instruction(caption=BEFORE, before=BEFORE, emphasis={"dark": 1.0})
    small = [p.crop(0, 0, 16, 24) for p in captioned()]
    for edit in editor.edit(small[:2], [same, same], seed=0, first=0):
        assert np.abs(edit.picture.pixels.astype(int) - edit.source.pixels).max() <= 1
    (changed,) = editor.edit(small[:1], [replace(same, emphasis={"dark": -2.0})], seed=0, first=0)
    assert np.abs(changed.picture.pixels.astype(int) - changed.source.pixels).max() > 1
    large = captioned()[0].crop(0, 0, 20, 28)
    (edit,) = editor.edit([large], [Instruction(caption=AFTER, before=BEFORE)], seed=0, first=0)
    assert edit.picture.size == (20, 28)
    assert edit.maps == {}


def test_the_figure_has_a_column_a_word_and_a_row_an_image():
    images = [p.crop(0, 0, 16, 24) for p in random_set(2)]
    maps = np.random.default_rng(0).random((2, 3, 16, 24), dtype=np.float32)
    import io

    small = Image.open(io.BytesIO(attention_png(images, ["a", "b", "c"], maps))).size
    long = Image.open(io.BytesIO(attention_png(images, list("abcdefghij"), maps.repeat(4, 1)[:, :10]))).size
    assert long[0] > 2 * small[0]
    assert long[1] > small[1] + 100  # the ninth word and the tenth stand below


def test_the_command_line_takes_captions_as_they_are(run, tmp_path, capsys):
    cli.main(["attend", str(run.folder), "--caption", AFTER, "-n", "1", "--cpu", "-o", str(tmp_path / "acts")],
             standalone_mode=False)  # fmt: skip
    assert "5 maps for each of them" in capsys.readouterr().out
    assert (tmp_path / "acts" / "attention.png").exists()
    words = ["generate", str(run.folder), "-n", "1", "--cpu", "-o", str(tmp_path / "made"), "--caption", AFTER]
    cli.main(words, standalone_mode=False)
    assert read_images(tmp_path / "made")[0].labels["asked caption"] == AFTER
    with pytest.raises(Problem, match="the caption is given twice"):
        cli.main([*words, "--ask", "caption=rock"], standalone_mode=False)
    with pytest.raises(Problem, match="a caption is empty"):
        cli.main(["attend", str(run.folder), "--caption", " ", "-o", str(tmp_path / "no")], standalone_mode=False)
    assert not (tmp_path / "no").exists()
