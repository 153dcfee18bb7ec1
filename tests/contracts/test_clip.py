"""CLIP: trained by the one loop, read by commands, and refused where there is nothing to learn."""

import json
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import distributed

from morphogen.evaluation.caption_scores import caption_cosines, caption_scores
from morphogen.evaluation.compared_set import ComparedSet
from morphogen.evaluation.retrieval import caption_retrieval, retrieve
from morphogen.evaluation.zero_shot import classify
from morphogen.generation.generate import generate
from morphogen.images.conditions import Conditions, TextCondition
from morphogen.images.cropping import Batch
from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.mathematics.randomness import Randomness
from morphogen.methods.method import ImageShape, Task
from morphogen.problems import Problem
from morphogen.training.image_text import ClipRun, open_image_text
from morphogen.training.train import train
from morphogen.understanding.clip import Method, Settings
from small_encoder import tiny_encoder
from small_sets import SMALL, random_set

TINY = {"channels": [8, 16], "embedding": 8, "caption_width": 8, "batch_size": 8, "learning_rate": 0.01}
SAID = {0: "dark pores", 1: "bright grains"}
SIZE = (16, 16)


def stripes(count: int, seed: int = 0, dtype: str = "uint8", channels: int = 1) -> Pictures:
    """Fine or coarse stripes in noise, on a grey scale of their own: nothing but their width says which."""
    random = np.random.default_rng(seed)
    pictures = []
    for k in range(count):
        phase, width = random.uniform(0, 6), (1.0, 4.0)[k % 2]
        wave = np.sin(np.arange(24) / width + phase)[:, None] + 0.3 * random.standard_normal((24, 20))
        grey = np.clip(random.uniform(80, 150) + random.uniform(10, 25) * wave, 0, 255)
        pixels = (grey * (257 if dtype == "uint16" else 1)).astype(dtype)[None].repeat(channels, axis=0)
        labels = {"caption": SAID[k % 2]}
        pictures.append(Picture(pixels, (1.0, 1.0), Origin(f"s{k}", f"{k}.png"), labels))
    return Pictures(pictures, "stripes")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def trained(folder, encoder, images_seen=400, images=None, **options):
    settings = TINY | options.pop("settings", {})
    return train("clip", images or stripes(16), folder, images_seen=images_seen, size=SIZE, settings=settings,
                 text_encoder=encoder, cpu=True, **options)  # fmt: skip


@pytest.fixture(scope="module", params=["softmax", "sigmoid"])
def clip(request, encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip") / "run"
    return ClipRun(trained(folder, encoder, settings={"contrast": request.param}))


def test_what_is_learnt_is_found_in_new_images(clip):
    """Of other sizes, another pixel type and another grey scale, too."""
    for images in (stripes(20, seed=1), stripes(20, seed=2, dtype="uint16"), stripes(20, seed=3, channels=3)):
        found = classify(clip, images, list(SAID.values()))
        assert found.accuracy.value >= 0.9
        assert found.accuracy.low < found.accuracy.value
        assert np.array(found.confusion).sum() == 20
    # A class folder's name is found in a caption, in the plural too; where it is in none or in two, nothing is scored.
    names = ("pore", "bright_grains", "grain", "gravel")
    of_class = Pictures(replace(p, labels={"class": names[k]}) for k, p in enumerate(stripes(4)))
    captions = ["a rock with dark pores", "bright grains of rock", "grains of sand"]
    assert classify(clip, of_class, captions).true == (0, 1, None, None)
    order, likeness = retrieve(clip, stripes(20, seed=1), SAID[1])
    assert np.mean([k % 2 for k in order[:10]]) >= 0.9
    assert list(likeness) == sorted(likeness, key=lambda one: -one.cosines[0])
    found = caption_retrieval(clip, stripes(20, seed=1), of=2)
    assert found.first.n_generated == 20
    assert found.first.value >= 0.9
    assert found.among_five.value == 1


def test_a_vector_depends_on_no_neighbour_and_no_exposure(clip):
    images = stripes(5, seed=4, dtype="uint16")
    together = clip.images(images)
    apart = np.concatenate([clip.images(Pictures([p])) for p in images])
    np.testing.assert_allclose(together, apart, atol=1e-5)
    brighter = Pictures(replace(p, pixels=(p.pixels // 2 + 20_000).astype("uint16")) for p in images)
    np.testing.assert_allclose(clip.images(brighter), together, atol=0.01)
    texts = ["dark pores", "a rock with dark pores and bright grains of rock"]  # one is filled up to the other
    np.testing.assert_allclose(clip.captions(texts)[0], clip.captions(texts[:1])[0], atol=1e-5)


def test_clipscore_has_its_three_scales_and_prefers_the_right_caption(clip):
    images = stripes(12, seed=5)
    swapped = Pictures(replace(p, labels={"asked caption": SAID[1 - k % 2]}) for k, p in enumerate(images))
    silent = Pictures(replace(p, labels={}) for p in images)
    sets = [ComparedSet(n, "generated", s) for n, s in (("right", images), ("wrong", swapped), ("silent", silent))]
    scores, notes = caption_scores(sets, [clip])
    values = {(s.compared, s.convention): s.estimate for s in scores}
    cosines = caption_cosines(clip, images)
    assert values["right", "cosine"].value == pytest.approx(cosines.mean())
    assert values["right", "100 x cosine"].value == pytest.approx(100 * cosines.mean())
    assert values["right", "2.5 max(0, cosine)"].value == pytest.approx(2.5 * np.maximum(cosines, 0).mean())
    assert values["right", "cosine"].low > values["wrong", "cosine"].high
    assert notes == ["silent has no CLIPScore: not every image has a caption."]
    alike, _ = caption_scores(sets[2:], [clip], "dark pores")
    assert alike[0].caption == "dark pores"
    assert clip.name in {s.model for s in scores}


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, encoder):
    whole = trained(tmp_path / "whole", encoder, 48)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", encoder, 48, on_report=_stop_at(3))
    parts = trained(tmp_path / "parts", None, 48, go_on=True)
    assert parts.counters["step"] == 6
    one, other = (load_file(run.folder / "weights.safetensors") for run in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)


def _stop_at(step):
    import signal

    return lambda report: signal.raise_signal(signal.SIGINT) if report.step == step else None


def small(kind: str) -> Method:
    torch.manual_seed(0)
    text = TextCondition(name="caption", encoder="none", width=6)
    task = Task(ImageShape(1, 16, 16), Conditions(text=text))
    return Method(Settings(channels=(8, 16), embedding=8, caption_width=8, batch_size=8, contrast=kind), task)


def batch(first: int, count: int) -> Batch:
    """Rows of one global batch; images 0 and 7, which two processes have between them, share a caption."""
    random = torch.Generator().manual_seed(1)
    images, text, tokens = (torch.randn(8, *s, generator=random) for s in ((1, 16, 16), (6,), (5, 7)))
    tokens[..., -1] = 1
    text[7], tokens[7] = text[0], tokens[0]
    part = slice(first, first + count)
    return Batch(images[part], text=text[part], tokens=tokens[part])


def half(rank: int, kind: str, store: str, answers) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    method = small(kind)
    found = method.loss("contrast", batch(4 * rank, 4), Randomness.of_images(0, 0, 4))
    found.total.backward()
    gradients = torch.cat([p.grad.flatten() for p in method.parameters()])
    message = torch.cat([gradients, torch.stack([found.total.detach(), found.parts["right caption first"]])])
    distributed.all_reduce(message)
    if rank == 0:
        answers.put((message / 2).tolist())
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_two_processes_find_the_loss_and_the_gradient_of_one(tmp_path, kind):
    """Although a contrastive loss looks at the whole batch."""
    method = small(kind)
    found = method.loss("contrast", batch(0, 8), Randomness.of_images(0, 0, 8))
    found.total.backward()
    one = torch.cat([p.grad.flatten() for p in method.parameters()])
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    both = [context.Process(target=half, args=(r, kind, str(tmp_path / "store"), answers)) for r in (0, 1)]
    for process in both:
        process.start()
    two = torch.tensor(answers.get())
    for process in both:
        process.join(30)
    torch.testing.assert_close(two[:-2], one, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(two[-2:], torch.stack([found.total.detach(), found.parts["right caption first"]]))


def test_no_image_is_wrong_where_all_have_one_caption():
    given = batch(0, 8)
    alike = replace(given, text=given.text[:1].expand(8, -1), tokens=given.tokens[:1].expand(8, -1, -1))
    found = small("softmax").loss("contrast", alike, Randomness.of_images(0, 0, 8))
    assert float(found.parts["right caption first"]) == 1


def test_what_cannot_be_contrasted_is_refused_before_training(tmp_path, encoder):
    images = stripes(4)
    bare = Pictures([images[0], replace(images[1], labels={})])
    empty = Pictures([images[0], replace(images[1], labels={"caption": " "})])
    same = Pictures(replace(p, labels={"caption": "dark pores"}) for p in images)
    long = Pictures([images[0], replace(images[1], labels={"caption": "rock " * 80})])
    for given, message in (
        (bare, r"1\.png has no caption: put a captions\.csv"),
        (empty, r"1\.png has an empty caption: say what it shows"),
        (same, "all images have the caption 'dark pores', and there is nothing to tell apart"),
        (long, "has 82 tokens"),
    ):
        with pytest.raises(Problem, match=message):
            trained(tmp_path / "run", encoder, images=given)
    for options in ({"with_masks": True}, {"conditions": ["kind"]}):
        with pytest.raises(Problem, match="learns from images and their captions alone"):
            trained(tmp_path / "run", encoder, **options)
    assert not (tmp_path / "run").exists()


def test_class_folders_are_captions_and_directions_are_not_turned(tmp_path, encoder):
    images = Pictures(replace(p, labels={"class": ("dark_pores", "rock")[k % 2]}) for k, p in enumerate(stripes(8)))
    run = trained(tmp_path / "classes", encoder, 8, images, symmetries=frozenset({"quarter_turn"}))
    assert set(run.record.conditions.seen_texts) == {"dark pores", "rock"}
    assert run.record.images.symmetries == ("quarter_turn",)
    words = ("rock, pores elongated vertically", "rock")
    along = Pictures(replace(p, labels={"caption": words[k % 2]}) for k, p in enumerate(stripes(8)))
    run = trained(tmp_path / "along", encoder, 8, along, symmetries=frozenset({"quarter_turn", "flip_horizontal"}))
    assert run.record.images.symmetries == ("flip_horizontal",)


def test_a_run_is_used_for_what_it_is(tmp_path, clip):
    with pytest.raises(Problem, match="is a run of clip, which draws no images"):
        generate(clip.run, count=1, cpu=True)
    other = train("vae", random_set(), tmp_path / "vae", images_seen=4, size=(16, 24), settings=SMALL["vae"], cpu=True)
    with pytest.raises(Problem, match="is a run of vae, not of CLIP"):
        open_image_text(other.folder)
    with pytest.raises(Problem, match="neither a run nor a pretrained CLIP"):
        open_image_text(tmp_path)
    with pytest.raises(Problem, match=r"12 x 12, smaller than the 16 x 16"):
        clip.images(random_set(size=(12, 12)))
    with pytest.raises(Problem, match="a caption is empty"):
        clip.captions([" "])
    with pytest.raises(Problem, match="1 caption leaves nothing to choose"):
        classify(clip, stripes(2), ["rock"])
    with pytest.raises(Problem, match="there are 2 different captions, fewer than the 64"):
        caption_retrieval(clip, stripes(8))


def test_vectors_that_are_all_alike_find_nothing():
    class Alike:
        name, identity = "alike", "none"

        def images(self, images):
            return np.ones((len(images), 1))

        def captions(self, texts):
            return np.ones((len(texts), 1))

    found = caption_retrieval(Alike(), stripes(8), of=2)
    assert (found.first.value, found.image_first.value) == (0, 0)
    assert found.first.high > 0.2


def test_a_pretrained_clip_gives_the_vectors_of_its_authors(tmp_path):
    """A tiny one, saved as real ones are; images as transformers' own processor on pillow prepares them."""
    folder = tiny_clip(tmp_path / "clip")
    from transformers import CLIPModel

    opened = open_image_text(folder)
    model = CLIPModel.from_pretrained(folder).eval()
    image = random_set(1, (40, 40), channels=3)
    pixels = torch.from_numpy(image[0].pixels / 255.0).float()[None]
    small = torch.nn.functional.interpolate(pixels, (16, 16), mode="bicubic", antialias=True).clamp(0, 1)
    seen = (small - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.2, 0.1]).view(3, 1, 1)
    from transformers import AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(["rock"], return_tensors="pt")
    with torch.no_grad():
        said = model(pixel_values=seen, **tokens)
    np.testing.assert_allclose(opened.images(image), said.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(opened.captions(["rock"]), said.text_embeds.numpy(), atol=1e-5)
    assert "shorter side to 16 px bicubic antialiased, middle" in opened.name
    wide = random_set(1, (40, 80), channels=1)
    middle = Pictures([replace(wide[0], pixels=wide[0].pixels[:, :, 20:60])])
    assert opened.images(wide) @ opened.images(middle).T == pytest.approx(1, abs=1e-3)
    with pytest.raises(Problem, match=r"a caption has \d+ tokens"):
        opened.captions(["rock " * 40])
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(Problem, match=r"holds no CLIP: there is no model\.safetensors"):
        open_image_text(folder)


def tiny_clip(folder):
    transformers = pytest.importorskip("transformers", reason="a pretrained CLIP needs transformers")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    letters = [c + end for c in "rock" for end in ("", "</w>")]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, "ro", "ck</w>", "rock</w>"]
    text = shape | {"vocab_size": len(words), "max_position_embeddings": 20, "bos_token_id": 0, "eos_token_id": 1}
    config = transformers.CLIPConfig(
        text_config=text, vision_config=shape | {"image_size": 16, "patch_size": 8}, projection_dim=8
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    vocabulary = {word: k for k, word in enumerate(words)}
    transformers.CLIPTokenizer(vocabulary, [("r", "o"), ("c", "k</w>"), ("ro", "ck</w>")]).save_pretrained(folder)
    means = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1]}
    (folder / "preprocessor_config.json").write_text(json.dumps(means))
    return folder


def test_the_whole_way_on_the_command_line(tmp_path, monkeypatch, encoder, capsys):
    """Class folders in; a CLIP; classes with accuracy and figure; images and captions found; scores; refusals."""
    from PIL import Image

    from morphogen.cli import cli
    from morphogen.images.folders import read_images, write_images

    def ask(*words):
        cli.main([str(word) for word in words], standalone_mode=False)
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(("dark pores", "bright grains")):
        of_class = [p for i, p in enumerate(stripes(16)) if i % 2 == k]
        write_images(Pictures(replace(p, labels={}) for p in of_class), tmp_path / name)
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / name / "images").rename(tmp_path / "set" / name)
    settings = [f"--set={name}={json.dumps(value)}" for name, value in TINY.items()]
    words = ("train", "clip", "set", "-o", "run", "--crop", *SIZE, "--images-seen", 240, "--text-encoder", encoder)
    assert "Trained clip on 240 images" in ask(*words, "--cpu", *settings)
    classes = ("-c", "a rock with dark pores", "-c", "bright grains of rock")
    said = ask("classify", "run", "set", *classes, "--figure", "confusion.png", "--json", "found.json", "--each")
    assert "Right: " in said
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["accuracy"]["value"] > 0.8
    assert min(Image.open(tmp_path / "confusion.png").size) > 300
    words = ("retrieve", "run", "set", "--caption", "bright grains", "-n", 4, "--sheet", "sheet.png")
    assert "Contact sheet: sheet.png" in ask(*words, "--json", "near.json")
    near = [one["specimen"] for one in json.loads((tmp_path / "near.json").read_text())]
    assert len(near) == 16
    assert sum(int(name.removeprefix("s")) % 2 for name in near[:8]) >= 7  # the odd ones are of that class
    write_images(stripes(16, seed=8), tmp_path / "captioned")
    (tmp_path / "captioned" / "images" / "manifest.json").unlink()
    lines = [f"{p.labels['file']},{SAID[k % 2]}" for k, p in enumerate(read_images(tmp_path / "captioned"))]
    (tmp_path / "captioned" / "captions.csv").write_text("file,caption\n" + "\n".join(lines))
    assert "The right one of 2 captions" in ask("retrieve", "run", "captioned", "--of", 2)
    with pytest.raises(Problem, match="a contact sheet shows the images of one caption"):
        ask("retrieve", "run", "captioned", "--sheet", "sheet.png")
    with pytest.raises(Problem, match=r"end its name in \.png"):
        ask("classify", "run", "set", *classes, "--figure", "confusion.jpg")
    (tmp_path / "captioned" / "captions.csv").write_text("file,text\n0000.png,rock\n")
    with pytest.raises(Problem, match=r"captions\.csv has no column 'caption'"):
        ask("retrieve", "run", "captioned")


def test_an_evaluation_has_a_row_a_set_and_an_audit_a_row_a_defect(clip):
    from morphogen.audit.instruments import CaptionScores
    from morphogen.evaluation.evaluate import evaluate

    def big(count, seed):  # in crops of 16 x 16 as trained on; VGG16 is not asked
        return Pictures(replace(p, pixels=np.tile(p.pixels, (1, 2, 2))) for p in stripes(count, seed))

    given = {"measured": big(16, 1), "floor": big(16, 2), "generated": {"made": big(16, 3)}}
    found = evaluate(**given, specimen="rock", features=["descriptors"], clips=[clip], resamples=10).comparison
    rows = {(s.compared, s.role) for s in found.caption_scores}
    assert rows == {("measured", "measured"), ("floor", "floor"), ("made", "generated"), ("noise", "noise")}
    cosine = {s.compared: s.estimate for s in found.caption_scores if s.convention == "cosine"}
    assert cosine["made"].value > cosine["noise"].high
    silent = Pictures(replace(p, labels={}) for p in big(16, 3))
    with pytest.raises(Problem, match="no generated set has captions"):
        evaluate(**given | {"generated": silent}, specimen="rock", features=["descriptors"], clips=[clip])
    with pytest.raises(Problem, match="no CLIP to read it"):
        evaluate(**given, specimen="rock", features=["descriptors"], caption="rock")
    instrument = CaptionScores(clip)
    (row,) = instrument.metrics
    assert row.name == f"CLIPScore (cosine) by {clip.run.folder.name}"
    assert clip.name in row.features
    assert "cosine of each image and its own caption" in row.features
    right, swapped = big(8, 4), Pictures([*big(8, 4)][::-1])  # an even number: reversed, all captions change
    swapped = Pictures(replace(p, labels=q.labels) for p, q in zip(right, swapped, strict=True))
    clean, wrong = instrument.read(right), instrument.read(swapped)
    (score,), (worse,) = (instrument.scores(measured=clean, training=clean, compared=r) for r in (clean, wrong))
    assert score == pytest.approx(clean.mean())
    assert worse < score - 0.3
