"""Generate, edit, compare and download in the studio: what is shown is what the command makes, and as a person does it.

All tests share one studio, whose work is done in this process, and its one process that draws at once.
"""

import hashlib
import io
import json
import os
import shlex
import socket
import threading
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from morphogen.cli import cli
from morphogen.editing.editor import editor_class, editor_names, editor_settings_kind
from morphogen.images.folders import read_images, write_images
from morphogen.pretrained.image_service import ServiceSettings
from morphogen.training.train import train
from small_sets import CONDITIONS, SMALL, random_set

testclient = pytest.importorskip("fastapi.testclient", reason="the studio is served by FastAPI")
server = pytest.importorskip("morphogen.studio.server")
from morphogen.studio.sketching import editors_of  # noqa: E402
from morphogen.studio.studio import Studio  # noqa: E402
from morphogen.studio.workspace import Workspace  # noqa: E402

SIZE = (40, 48)


def in_this_process(workspace, folder):
    """Runs the command of a piece of work here and now: to start a process costs more than the work does."""
    words = json.loads((folder / "work.json").read_text())["words"]
    before = os.getcwd()
    os.chdir(workspace)
    try:
        told = CliRunner().invoke(cli, words)
    finally:
        os.chdir(before)
    code = 0 if told.exception is None else 2
    (folder / "log.txt").write_text(f"{told.output}\nmorphogen: {told.exception}")
    (folder / "end.json").write_text(json.dumps({"code": code, "ended": "2026-01-01T00:00:00+00:00"}))
    return SimpleNamespace(poll=lambda: code)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    write_images(random_set(3, SIZE, dtype="uint16"), folder / "sets" / "grains")
    write_images(random_set(3, SIZE, dtype="uint16"), folder / "sets" / "stack", as_stack=True)
    write_images(random_set(2, SIZE), folder / "sets" / "eight")
    write_images(random_set(6, SIZE, dtype="uint16", seed=3), folder / "sets" / "held_out")
    train(
        "ddpm", random_set(3, SIZE, dtype="uint16"), folder / "runs" / "small", images_seen=40, size=(16, 24),
        settings=SMALL["ddpm"] | {"condition_dropout": 0.2}, conditions=CONDITIONS, cpu=True,
    )  # fmt: skip
    found = Studio.of(Workspace(folder), launch=in_this_process)
    found.sketches._patience = 3600  # a busy machine is no fault of the studio
    return found


@pytest.fixture(scope="module")
def client(studio):
    with testclient.TestClient(server.studio_app(studio), base_url="http://127.0.0.1") as found:
        assert found.get("/generate").status_code == 200
        yield found


def made(client, path, wish):
    """The work that was started, after the command that was shown for it."""
    shown = client.post(path.replace("make", "command"), json=wish).json()["command"]
    work = client.post(path, json=wish).json()
    assert shlex.split(shown) == ["morphogen", *work["record"]["words"]]
    assert work["state"] == "done", work
    return work


def hashes(images):
    return [hashlib.sha256(picture.pixels.tobytes()).hexdigest() for picture in images]


def test_the_picture_at_once_is_the_first_of_the_set_to_the_bit(client, studio):
    offers = client.get("/api/offers", params={"name": "runs/small"}).json()
    assert [n["name"] for n in offers["numbers"]] == ["brightness"]
    assert offers["denoiser"]["steps"] == 3
    wishes = [
        {"seed": 5, "numbers": {"brightness": 0.55}, "classes": {"kind": "odd"}, "guidance": 2.5},
        {"seed": 6, "solver": "heun", "steps": 2, "size": [24, 32]},
    ]
    for number, wish in enumerate(wishes):
        wish = {"run": "runs/small", "count": 2, **wish}
        found = client.post("/api/generate/sketch", json={"page": "p", "wish": wish}).json()
        name = f"set-{number}"
        made(client, "/api/generate/make", {"wish": wish | {"count": 3}, "name": name, "ending": ".tif"})
        images = read_images(studio.workspace.folder / "made" / name)
        assert images[0].pixels.dtype == np.uint16
        assert [one["sha256"] for one in found["pictures"]] == hashes(images)[:2]
    slid = wishes[0] | {"run": "runs/small", "count": 1, "numbers": {"brightness": 0.75}}
    other = client.post("/api/generate/sketch", json={"page": "p", "wish": slid}).json()
    assert other["pictures"][0]["sha256"] != found["pictures"][0]["sha256"]
    far = client.post("/api/generate/sketch", json={"page": "p", "wish": slid | {"numbers": {"brightness": 9}}}).json()
    assert "training saw" in far["pictures"][0]["warning"]


GOOD = {"run": "runs/small", "count": 1}
INPAINT = {"editor": "inpaint", "model": "runs/small", "set": "sets/grains"}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/api/generate/sketch", {"page": "p", "wish": GOOD | {"count": 5}}, "not drawn at once"),
        ("/api/generate/sketch", {"page": "p", "wish": GOOD | {"size": [2048, 2048]}}, "too much to be drawn at once"),
        ("/api/generate/sketch", {"page": "p", "wish": GOOD | {"solver": "none_such"}}, "there is no solver"),
        ("/api/generate/sketch", {"page": "p", "wish": GOOD | {"classes": {"kind": "blue"}}}, "training never saw"),
        ("/api/generate/sketch", {"page": "p", "wish": GOOD | {"run": "../../etc"}}, "no run of that name"),
        ("/api/generate/make", {"wish": GOOD, "name": "../out"}, "name"),
        ("/api/generate/make", {"wish": GOOD | {"context": "/etc"}, "name": "x"}, "no image set of that name"),
        ("/api/edit/make", INPAINT | {"index": 9}, "no picture"),
        ("/api/edit/make", INPAINT, "brush a mask"),
        ("/api/edit/make", {"editor": "inpaint", "set": "sets/grains"}, "works with"),
        ("/api/edit/make", {"editor": "hosted_edit", "set": "sets/grains"}, "no editor"),
        ("/api/edit/make", {"editor": "diffedit", "model": "runs/small", "set": "sets/grains"}, "without captions"),
        (
            "/api/edit/make",
            {"editor": "sdedit", "model": "runs/small", "set": "sets/grains", "settings": {"text_encoder": "/etc"}},
            "no setting",
        ),
        (
            "/api/edit/make",
            {"editor": "sdedit", "model": "runs/small", "set": "sets/grains",
             "mask": {"height": 2, "width": 2, "runs": [1, 3]}},
            "does not fit",
        ),
        ("/api/compare/make", {"measured": "sets/grains", "generated": ["sets/grains"]}, "given twice"),
        ("/api/compare/make", {"measured": "sets/grains", "generated": ["sets/eight"], "specimen": "moon"}, "no kind"),
    ],
)  # fmt: skip
def test_bad_requests_are_one_clear_line(client, studio, path, body, says):
    before = sorted(studio.workspace.folder.rglob("*"))
    answer = client.post(path, json=body)
    assert 400 <= answer.status_code < 500
    assert says in answer.json()["problem"]
    assert "\n" not in answer.json()["problem"]
    assert sorted(studio.workspace.folder.rglob("*")) == before


def test_no_other_site_starts_anything(client):
    elsewhere = {"Origin": "https://elsewhere.example"}
    for path in ("/api/generate/sketch", "/api/generate/make", "/api/edit/make", "/api/compare/make"):
        assert client.post(path, json={}, headers=elsewhere).status_code == 403


def disc():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (y - 20) ** 2 + (x - 22) ** 2 < 40


def in_runs(mask):
    """A mask as the page sends it."""
    flat = np.concatenate([[False], mask.ravel()])
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), mask.size)
    return {"height": mask.shape[0], "width": mask.shape[1], "runs": np.diff(ends, prepend=0).tolist()}


@pytest.mark.parametrize(("name", "index"), [("grains", 1), ("stack", 2)])
def test_what_is_not_masked_stays_to_the_bit(client, studio, name, index):
    wish = {
        "editor": "inpaint", "model": "runs/small", "set": f"sets/{name}", "index": index, "mask": in_runs(disc()),
        "numbers": {"brightness": 0.6}, "settings": {"passes": 1, "restarts": 0, "solver": "heun"}, "seed": 3,
        "name": f"filled-{name}",
    }  # fmt: skip
    work = made(client, "/api/edit/make", wish)
    source = read_images(studio.workspace.folder / "sets" / name)[index]
    (after,) = read_images(studio.workspace.folder / work["record"]["makes"])
    changed = (after.pixels != source.pixels).any(axis=0)
    assert after.pixels.dtype == np.uint16
    assert after.spacing_um == source.spacing_um
    assert not changed[~disc()].any()
    assert changed[disc()].mean() > 0.5
    found = client.get("/api/edit/result", params={"name": work["record"]["makes"]}).json()
    assert found["outside_same"]
    assert found["region_share"] == pytest.approx(disc().mean())
    assert found["changed_share"] == pytest.approx(changed.mean())
    assert (found["set"], found["index"]) == (f"sets/{name}", index)
    # A pixel that changed outside is seen.
    file = next((studio.workspace.folder / work["record"]["makes"] / "images").glob("*.tif"))
    spoilt = after.pixels[0].copy()
    spoilt[0, 0] ^= 1
    file.unlink()  # so that the folder is seen to have changed
    tifffile.imwrite(file, spoilt)
    assert not client.get("/api/edit/result", params={"name": work["record"]["makes"]}).json()["outside_same"]


def test_outpainting_says_where_the_source_is(client):
    wish = {"editor": "outpaint", "model": "runs/small", "set": "sets/grains", "name": "wider",
            "settings": {"up": 4, "left": 6, "passes": 0, "restarts": 0, "steps": 2}}  # fmt: skip
    work = made(client, "/api/edit/make", wish)
    found = client.get("/api/edit/result", params={"name": work["record"]["makes"]}).json()
    assert found["offset"] == [4, 6]
    assert found["after"] == [SIZE[0] + 4, SIZE[1] + 6]
    assert found["outside_same"]


def test_the_form_has_every_editor_and_every_setting_but_places_on_the_disk(client):
    offered = {one["name"]: one for one in client.get("/api/editors", params={"model": "runs/small"}).json()}
    services = {name for name in editor_names() if issubclass(editor_settings_kind(name), ServiceSettings)}
    assert set(offered) == set(editor_names()) - services
    places = {"text_encoder", "lora"}
    for name, one in offered.items():
        assert {f["name"] for f in one["settings"]} == set(editor_settings_kind(name).model_fields) - places, name
        assert (set(one["takes"]), one["model"]) == (set(editor_class(name).takes), editor_class(name).model)
    assert offered["inpaint"]["problem"] == ""
    assert "captions" in offered["diffedit"]["problem"]
    assert all(one["problem"] == "" for one in editors_of(None))


@pytest.mark.parametrize("name", ["sets/grains", "sets/eight"])
def test_downloads_are_what_the_command_writes(client, studio, name, tmp_path):
    source = read_images(studio.workspace.folder / name)
    answer = client.get("/api/tiff", params={"name": name, "index": 1})
    with tifffile.TiffFile(io.BytesIO(answer.content)) as file:
        assert file.asarray().dtype == np.uint16
        assert file.imagej_metadata["unit"] == "micron"
        numerator, denominator = file.pages[0].tags["XResolution"].value
        assert denominator / numerator == pytest.approx(2.5, rel=1e-4)
        factor = 257 if name == "sets/eight" else 1
        assert (file.asarray() == factor * source[1].pixels[0].astype(int)).all()
    said = answer.headers["content-disposition"]
    assert ("257x8bit" in said) == (name == "sets/eight")
    kept = client.get("/api/tiff", params={"name": name, "index": 1, "as_stored": True}).content
    assert (tifffile.imread(io.BytesIO(kept)) == source[1].pixels[0]).all()
    whole = zipfile.ZipFile(io.BytesIO(client.get("/api/tiff/set", params={"name": name}).content))
    assert whole.testzip() is None
    command = client.get("/api/tiff/command", params={"name": name}).json()["command"]
    before = os.getcwd()
    os.chdir(studio.workspace.folder)
    try:
        cli.main([*shlex.split(command)[1:-1], str(tmp_path / "out")], standalone_mode=False)
    finally:
        os.chdir(before)
    files = {p.relative_to(tmp_path / "out").as_posix(): p for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert {n.partition("/")[2] for n in whole.namelist()} == set(files)
    for entry in whole.namelist():
        assert whole.read(entry) == files[entry.partition("/")[2]].read_bytes()
    assert not list((studio.workspace.own / "downloads").iterdir())


# --- as a person does it -----------------------------------------------------------------------------------------

PATIENCE = 600_000
LOOK = "selector => document.querySelector(selector).toDataURL()"


@pytest.fixture(scope="module")
def address(studio, client):
    """The same studio, reached by a browser."""
    uvicorn = pytest.importorskip("uvicorn")
    listening = socket.create_server(("127.0.0.1", 0))
    serving = uvicorn.Server(uvicorn.Config(server.studio_app(studio), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not serving.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    serving.should_exit = True
    thread.join()


@pytest.fixture
def page(browser, address):
    faults = []
    desk = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=address, accept_downloads=True)
    desk.set_default_timeout(PATIENCE)
    found = desk.new_page()
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    yield found
    desk.close()
    assert [fault for fault in faults if "409" not in fault] == []


def until(page, script, arg=None):
    page.wait_for_function(script, arg=arg, timeout=PATIENCE)


def drag(page, box, *points):
    """Press at the first of some points of a box, given as shares of its width and height, and go through the rest."""
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def test_a_person_generates_edits_compares_and_downloads(page, studio, tmp_path):
    folder = studio.workspace.folder

    # Generate: the picture follows the slider, and the command what is asked.
    page.goto("/generate?run=runs/small")
    page.wait_for_selector("#sketch img")
    before = page.locator("#sketch").get_attribute("data-sha256")
    slider = page.locator(".field.number[data-name=brightness] input[type=range]")
    drag(page, slider.bounding_box(), (0.5, 0.5), (0.9, 0.5))
    until(page, "before => document.querySelector('#sketch').dataset.sha256 !== before", before)
    page.locator("#seed").fill("4")
    page.locator("#count").fill("10")
    page.locator("#name").fill("by-hand")
    until(page, "() => /--ask brightness=.* --out made.by-hand/.test(document.querySelector('#command').innerText)")
    until(page, "() => document.querySelector('#sketch-state').innerText.startsWith('drawn')")
    shown = page.locator("#command code").inner_text()
    page.locator("#make").click()
    page.wait_for_selector("#result .sheet img")
    made = read_images(folder / "made" / "by-hand")
    assert (folder / ".studio").exists()
    assert shown.endswith("--out made/by-hand")
    assert len(made) == 10
    assert page.locator("#sketch").get_attribute("data-sha256") == hashes(made)[0]

    # Download all of it.
    with page.expect_download() as download:
        page.get_by_role("link", name="All, ZIP").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        file = next(name for name in packed.namelist() if name.endswith("images/0003.tif"))
        with tifffile.TiffFile(io.BytesIO(packed.read(file))) as read:
            assert (read.asarray() == made[3].pixels[0]).all()
            assert read.asarray().dtype == np.uint16
            numerator, denominator = read.pages[0].tags["XResolution"].value
            assert denominator / numerator == pytest.approx(2.5, rel=1e-4)

    # Edit: a brush, a slip undone, an eraser, by mouse and by keys.
    page.goto("/edit?run=runs/small&set=sets/grains&picture=1")
    page.wait_for_selector("#editor option", state="attached")
    until(page, "() => /nothing masked/.test(document.querySelector('#masked').innerText)")
    canvas = page.locator("#canvas canvas")
    bare = page.evaluate(LOOK, "#canvas canvas")
    share = "() => parseFloat(document.querySelector('#masked').innerText) || 0"
    drag(page, canvas.bounding_box(), (0.4, 0.4), (0.55, 0.5))
    first = page.evaluate(share)
    drag(page, canvas.bounding_box(), (0.6, 0.3), (0.6, 0.7))
    assert page.evaluate(share) > first > 0
    canvas.focus()
    page.keyboard.press("Control+z")
    assert page.evaluate(share) == first
    page.keyboard.press("e")
    page.keyboard.press(" ")  # an eraser's dab where the brush is
    page.keyboard.press("b")
    assert page.evaluate(LOOK, "#canvas canvas") != bare
    page.locator("#more summary").click()
    page.get_by_label("passes", exact=True).fill("0")
    page.locator("#name").fill("mended")
    until(page, "() => /--mask .* passes=0 .*mended/.test(document.querySelector('#command').innerText)")
    page.locator("#make").click()
    until(page, "() => document.querySelector('#result-title').innerText === 'edited/mended'")
    assert "to the bit" in page.locator("#verdict .well").inner_text()
    drawn = read_images(folder / ".studio" / "edits" / "mended" / "mask.png")[0].pixels[0] > 0
    (edited,), source = read_images(folder / "edited" / "mended"), read_images(folder / "sets" / "grains")[1]
    changed = (edited.pixels != source.pixels).any(axis=0)
    assert 0 < changed.sum() <= drawn.sum()
    assert not changed[~drawn].any()

    # Before and after: the slider shows more of the one or the other, and the outline of the region can be put away.
    looks = []
    for value in (0, 1000):
        page.locator(".wipe").fill(str(value))
        looks.append(page.evaluate(LOOK, "#wipe canvas"))
    page.get_by_label("outline of the region").uncheck()
    looks.append(page.evaluate(LOOK, "#wipe canvas"))
    assert len(set(looks)) == 3

    # Compare: side by side, with the evidence and its whole page.
    page.goto("/compare?set=made/by-hand&measured=sets/held_out")
    until(page, "() => document.querySelectorAll('#sheets .sheet-box').length === 2")
    page.locator("#fields").fill("8")
    page.locator("#name").fill("held")
    until(page, "() => /--fields 8 .*compared.held/.test(document.querySelector('#command').innerText)")
    page.locator("#make").click()
    until(page, "() => document.querySelector('#tests').innerText.includes('Descriptors of by-hand')")
    assert page.locator("#result-title").inner_text() == "compared/held"
    assert page.locator("#headline").inner_text()
    page.locator("#tests summary").first.click()
    assert page.locator("#tests tr:has-text('porosity')").count() >= 1
    page.locator("#page-box summary").click()
    heading = "(document.querySelector('iframe')?.contentDocument?.querySelector('h1')?.innerText ?? '')"
    until(page, f"() => {heading}.includes('by-hand')")
    policy = page.request.get("/evidence?name=compared/held").headers["content-security-policy"]
    assert "script" not in policy
    assert "sandbox" in policy
