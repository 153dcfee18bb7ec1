"""A study of editors refuses what it could not finish, goes on where it was, and puts doing nothing in its place."""

import copy
import json

import pytest

from morphogen.cli import cli
from morphogen.images.folders import write_images
from morphogen.phantoms.phantom import image_set, phantoms
from morphogen.problems import Problem
from morphogen.report.editing_record import EditingRecord
from morphogen.studies.editing_recipe import EditingRecipe
from morphogen.studies.recipe import Recipe, as_recipe, read_recipe
from morphogen.studies.study import study
from small_encoder import tiny_encoder
from small_sets import SMALL

RECIPE = {
    "compares": "editors",
    "title": "Small",
    "budget": {"images": 8},
    "runs": {
        "told": {"learns": "captions", "method": "ddpm", "settings": SMALL["ddpm"]},
        "ordered": {"learns": "orders", "method": "instruct_pix2pix", "settings": SMALL["instruct_pix2pix"]},
    },
    "editors": {
        "diffedit": {"run": "told", "settings": {"steps": 2, "iterations": 0, "mask_noises": 1}},
        "sdedit": {"run": "told", "settings": {"strength": 0.0}},
        "where": {"editor": "inpaint", "run": "told", "told_where": True, "settings": {"passes": 0, "restarts": 0}},
        "instruct_pix2pix": {"run": "ordered"},
    },
    "specimens": {
        "rock": {
            "kind": "rock",
            "caption": "sediment grains separated by pores",
            "prompts": {
                "larger": {"edit": "grains larger", "words": "large rock fragments and pores", "factor": 1.3},
                "porous": {"edit": "porosity higher"},
            },
            "size": [44, 48],
            "triples": 4,
            "images": 2,
            "descriptors": ["phase_fraction", "specific_surface", "chord_lengths", "grey_levels"],
        }
    },
    "papers": ["ssim"],
    "resamples": 50,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The recipe with an encoder of a few words, and a folder with measured images."""
    place = tmp_path_factory.mktemp("small")
    (place / "encoder").mkdir()
    write_images(image_set(phantoms("rock", count=4, size=(96, 96), seed=5)), place / "scans")
    recipe = RECIPE | {"text_encoder": str(tiny_encoder(place / "encoder"))}
    recipe["specimens"]["rock"] |= {
        "measured": {"path": "scans"},
        "measured_images": 2,
        "measured_segmentation": "level=90",
    }
    return recipe, place


def changed(recipe, path, value):
    recipe = copy.deepcopy(recipe)
    *above, last = path.split("/")
    part = recipe
    for key in above:
        part = part[key]
    part[last] = value
    return recipe


def test_a_stopped_study_of_editors_goes_on_and_puts_doing_nothing_in_its_place(small, tmp_path, monkeypatch, capsys):
    from morphogen.studies import editing_study as module

    recipe, place = small
    honest, trained = module.edit_images, []
    monkeypatch.setattr(module, "train", lambda *a, real=module.train, **o: (trained.append(a[0]), real(*a, **o))[1])

    def stops_at_the_third(editor, *args, **options):
        if editor == "instruct_pix2pix":
            raise KeyboardInterrupt
        return honest(editor, *args, **options)

    monkeypatch.setattr(module, "edit_images", stops_at_the_third)
    options = {"images": place, "folder": tmp_path / "study", "cpu": True}
    with pytest.raises(KeyboardInterrupt):
        study(recipe, **options)
    assert not (tmp_path / "study" / "index.html").exists()
    kept = (tmp_path / "study/edits/rock-diffedit/images/0000.png").stat().st_mtime_ns
    monkeypatch.setattr(module, "edit_images", honest)
    page = study(recipe, go_on=True, **options)
    assert trained == ["ddpm", "instruct_pix2pix", "ddpm"]  # the last one on measured images
    assert (tmp_path / "study/edits/rock-diffedit/images/0000.png").stat().st_mtime_ns == kept

    text = (page.parent / "study.json").read_text(encoding="utf-8")
    record = EditingRecord.from_json(text)
    assert record.to_json() == text
    of_phantoms, measured = (one.comparison for one in record.sets)
    rows = {row.row: row for row in of_phantoms.rows}
    assert list(rows) == [*recipe["editors"], "identity", "noise", "another", "truth again"]
    assert rows["identity"].papers[0].estimate.value == 1.0 > rows["noise"].papers[0].estimate.value
    assert (
        rows["identity"].succeeded.value == rows["sdedit"].succeeded.value == 0.0 < rows["truth again"].succeeded.value
    )
    assert rows["where"].region_iou.value == 1.0
    assert rows["where"].outside.value < 1 < rows["where"].inside.value
    assert rows["identity"].inside.value > 3 * rows["truth again"].inside.value == pytest.approx(3.0, rel=0.3)
    told = {p.prompt: p for p in of_phantoms.prompts}
    assert told["larger"].words == "large rock fragments and pores"
    assert not told["larger"].rises
    assert told["larger"].caption.startswith("sediment grains separated by pores, porosity")

    assert not measured.truth_known
    assert "90" in measured.segmentation
    assert "Otsu" in of_phantoms.segmentation
    of_measured = {row.row: row for row in measured.rows}
    assert "truly changes" in of_measured["where"].note
    assert of_measured["where"].succeeded is None
    assert of_measured["instruct_pix2pix"].obeyed is not None  # by the run that learnt from phantoms
    assert "truth again" not in of_measured
    assert of_measured["diffedit"].beyond == 0.0
    wanted = {e.prompt: e.wanted / e.before for e in measured.edits}
    assert wanted["larger"] < 0 < wanted["porous"]
    html = page.read_text(encoding="utf-8")
    assert "http" not in html.replace("http://www.w3.org", "")
    assert "large rock fragments and pores" in html
    assert (page.parent / "figures" / "rock-phantoms-larger.png").exists()


def test_the_command_sums_a_study_of_editors_up(small, tmp_path, capsys):
    recipe, _ = small
    recipe = recipe | {"runs": {}, "editors": {}}
    (tmp_path / "editors.json").write_text(json.dumps(recipe))  # JSON is YAML
    cli(["study", str(tmp_path / "editors.json"), "--out", str(tmp_path / "out"), "--cpu"], standalone_mode=False)
    said = capsys.readouterr().out
    assert "rock phantoms" in said
    assert "Measured images were not edited" in said.replace("\n", " ")
    assert next(line for line in said.splitlines() if line.startswith("identity")).split()[-1] == "1."


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("compares", "methods", "'compares' is 'methods': it should be 'editors'"),
        ("specimens/rock/prompts/larger/edit", "grains greater", "one of porosity higher, porosity lower"),
        ("specimens/rock/prompts/larger/factor", None, "with a factor, where it has words of its own"),
        ("specimens/rock/prompts/larger/factor", 1.31, "never has the factor 1.31: choose one of"),
        ("specimens/rock/descriptors", ["phase_fraction"], "moves specific surface, which the descriptors"),
        ("specimens/rock/kind", "stone", "'specimens.rock.kind' is 'stone'"),
        ("specimens/rock/siez", [44, 48], "did you mean 'size'"),
        ("specimens/rock/size", [45, 48], "cannot take images of 45 x 48"),
        ("editors/diffedit/run", "tolled", "with a run 'tolled', which the row 'diffedit' names"),
        ("editors/diffedit/run", "ordered", "diffedit works with a run that learns captions"),
        ("editors/diffedit/run", "", "diffedit works with a diffusion run"),
        ("editors/diffedit/settings", {"stesp": 2}, "did you mean 'steps'"),
        ("editors/where/told_where", False, "inpaint cannot do without its mask: set told_where"),
        ("editors/identity", {}, "without a row called identity"),
        ("editors/magic", {"run": "told"}, "and 'magic' is none"),
        ("editors/pipeline", {"model": "nowhere"}, "there is no folder"),
        ("runs/told/method", "vae", "reads no texts"),
        ("runs/told/method", "instruct_pix2pix", "which does not learn captions"),
        ("runs/clip", {"learns": "captions", "method": "ddpm"}, "without a run called clip"),
        ("specimens/a-measured", RECIPE["specimens"]["rock"], "without a specimen called a-measured"),
        ("budget", {}, "either seconds or images"),
    ],
)
def test_what_editors_cannot_be_asked_for_is_refused_at_once(small, tmp_path, path, value, message):
    recipe, _ = small
    recipe = changed(recipe, path, value)
    with pytest.raises(Problem, match=message):
        study(recipe, folder=tmp_path / "study", cpu=True)
    assert not (tmp_path / "study").exists()


def test_captions_that_do_not_tell_an_edit_are_refused_for_who_reads_them(small, tmp_path):
    recipe = copy.deepcopy(small[0])
    recipe["specimens"] = {"root": {"kind": "root", "prompts": {"spread": {"edit": "laterals spread"}}, "images": 2}}
    with pytest.raises(Problem, match="captions of root phantoms don't tell 'laterals spread'"):
        study(recipe, folder=tmp_path / "study", cpu=True)


def test_the_recipe_of_the_review_is_readable_and_its_budget_can_be_changed(request):
    recipe = read_recipe(request.config.rootpath / "recipes" / "editing.yaml")
    assert isinstance(recipe, EditingRecipe)
    assert set(recipe.specimens) == {"rock", "fiber", "root"}
    words = {p.words for part in recipe.specimens.values() for p in part.prompts.values()}
    assert {"make circles larger", "large rock fragments and pores", "growing entangled plant roots"} <= words
    quick = recipe.narrowed(["root"], 5)
    assert list(quick.specimens) == ["root"]
    assert {quick.budget_of(run).seconds for run in quick.runs} | {quick.clip.seconds} == {5}
    with pytest.raises(Problem, match="no specimen 'rocks': choose among rock"):
        recipe.narrowed(["rocks"], None)
    of_methods = {"title": "x", "budget": {"images": 1}, "methods": {"vae": {}}}
    assert isinstance(
        as_recipe(of_methods | {"specimens": {"a": {"kind": "rock", "images": {"path": "x"}}}}, ""), Recipe
    )
    assert recipe.budget.images is not None
