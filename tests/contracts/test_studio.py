"""The studio: only its own pages change anything, no path reaches the disk unchecked, and work outlives all else."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import tifffile
from PIL import Image

from morphogen.images.folders import read_images, write_images
from morphogen.problems import Problem
from small_sets import random_set
from small_studio import know_methods, small_studio, small_workspace, started

testclient = pytest.importorskip("fastapi.testclient", reason="the studio is served by FastAPI")
server = pytest.importorskip("morphogen.studio.server")
from morphogen.studio.looking import histogram_of  # noqa: E402
from morphogen.studio.pictures import Gallery, Window, shades, view  # noqa: E402
from morphogen.studio.studio import PAGES, Limits  # noqa: E402
from morphogen.studio.training import Journals, thinned  # noqa: E402
from morphogen.studio.work import Works  # noqa: E402
from morphogen.studio.workspace import Missing, Workspace, kind_of  # noqa: E402


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = small_workspace(tmp_path_factory.mktemp("studio") / "workspace")
    know_methods(folder)
    return folder


@pytest.fixture
def folder(prepared, tmp_path):
    shutil.copytree(prepared, tmp_path / "workspace")
    return tmp_path / "workspace"


def opened(folder, limits=None, **options):
    app = server.studio_app(small_studio(folder, limits))
    return testclient.TestClient(app, base_url="http://127.0.0.1", **options)


@pytest.fixture
def client(folder):
    with opened(folder) as found:
        found.get("/look")
        yield found


# --- stopping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("presses", [1, 2])
def test_a_stop_cuts_off_what_is_on_its_way_without_a_traceback(folder, presses):
    process, address = started(folder, stderr=subprocess.PIPE)
    try:
        with urllib.request.urlopen(f"{address}look") as page:
            cookie = page.headers["Set-Cookie"].split(";")[0]
        host = address.removeprefix("http://").rstrip("/")
        with socket.create_connection((host.split(":")[0], int(host.split(":")[1]))) as asking:
            head = ["POST /api/train HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", f"Cookie: {cookie}",
                    "Content-Type: application/json", "Content-Length: 900", "", "{"]  # fmt: skip
            asking.sendall("\r\n".join(head).encode())
            asking.settimeout(1)
            with pytest.raises(TimeoutError):  # it waits for the rest
                asking.recv(1)
            process.send_signal(signal.SIGINT)
            for _ in range(presses - 1):
                time.sleep(0.5)  # within the five seconds that it is given
                process.send_signal(signal.SIGINT)
            told, complaints = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode in (0, 130)  # 0 where the tests are a job in the background, whose Ctrl-C is ignored
    assert "Traceback" not in told + complaints
    assert "Cancel" not in told + complaints


# --- who may ask -------------------------------------------------------------------------------------------------


def test_no_page_runs_anything_inline_or_asks_anybody_else(client):
    for page in PAGES:
        answer = client.get(f"/{page.task}")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "SameSite=strict" in answer.headers["set-cookie"]
        assert "HttpOnly" in answer.headers["set-cookie"]
        assert "<script>" not in answer.text
        assert "<style" not in answer.text
        assert " style=" not in answer.text
        assert " onclick" not in answer.text
    own = [file for file in server.own_folder().iterdir() if file.suffix in (".js", ".css", ".j2")]
    assert len(own) > 10
    for file in own:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "://" not in text, file.name


def every_route(app):
    pages = [(f"/{page.task}", {"GET"}) for page in PAGES]
    return pages + [(path, {m.upper() for m in told}) for path, told in app.openapi()["paths"].items()]


def written(folder):
    """When each file was written, but for the log of a process that answers what is asked."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "sketching.log")
    return {path: path.stat().st_mtime_ns for path in files}


def test_nothing_changes_by_get_and_all_else_needs_the_own_page(folder):
    with opened(folder) as client:
        client.get("/train")
        cookies, app = dict(client.cookies), client.app
        before = written(folder)
        for path, methods in every_route(app):
            address = path.replace("{number}", "1").replace("{id}", "0" * 16).replace("{name}", "studio.js")
            if "GET" in methods:
                client.get(address, params={"name": "sets/grains"})
                continue
            client.cookies.clear()
            assert client.post(address, json={}).status_code == 403, path
            for name, value in cookies.items():
                client.cookies.set(name, value)
            for wrong in ({"Origin": "http://elsewhere"}, {"Sec-Fetch-Site": "cross-site"}):
                assert client.post(address, json={}, headers=wrong).status_code == 403, path
        assert written(folder) == before
        assert client.get("/openapi.json").status_code == client.get("/docs").status_code == 404


def test_a_token_beyond_loopback_and_one_server_a_workspace(folder):
    for host, token in (("0.0.0.0", ""), ("0.0.0.0", "short"), ("192.0.2.1", "")):
        with pytest.raises(Problem, match="can be reached by other machines"):
            server.serve(folder, host=host, token=token)
    workspace = Workspace(folder)
    held = server.require_one_server(workspace.own)
    with pytest.raises(Problem, match="another server is serving"):
        server.serve(folder, port=0)
    held.close()

    place = server.Place("0.0.0.0", 8770, "a-token-of-the-studio")
    with testclient.TestClient(place.guard(server.studio_app(small_studio(folder)))) as client:
        assert client.get("/look").status_code == client.get("/a-token-of-the-studiO/look").status_code == 404
        answer = client.get("/a-token-of-the-studio")
        assert answer.url.path == "/a-token-of-the-studio/look"
        assert "Path=/a-token-of-the-studio/" in answer.headers["set-cookie"]
        assert client.get("/a-token-of-the-studio/static/studio.js").status_code == 200
        assert client.post("/a-token-of-the-studio/api/uploads", json={"name": "new"}).status_code == 200
    local = server.Place().guard(server.studio_app(small_studio(folder)))
    with testclient.TestClient(local, base_url="http://127.0.0.1:8770") as client:
        assert client.get("/look").status_code == 200
        assert client.get("/look", headers={"Host": "rebound.example:8770"}).status_code == 421


# --- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "sets/../../secret", "sets/grains/../grains", ".studio/secret", "sets/grains/",
             "sets%2Fgrains", "sets/gr\0ains", "link", "sets", "~", "C:\\grains"]
)  # fmt: skip
def test_names_that_no_list_gave_are_refused(client, folder, name):
    outside = folder.parent / "secret"
    write_images(random_set(count=1), outside)
    (folder / "link").symlink_to(outside)
    for path in ("api/set", "api/picture", "api/set/histogram", "api/set/card", "api/report", "api/run"):
        answer = client.get(f"/{path}", params={"name": name})
        assert answer.status_code == 404, (path, answer.text)
        assert answer.json()["problem"]
    assert client.post("/api/look/describe", json={"name": name}).status_code == 404
    assert client.get("/api/run/sample", params={"name": name, "file": "../run.json"}).status_code == 404
    for way in ("/static/..%2fserver.py", "/static/%2e%2e/server.py", "/static/../server.py"):
        assert client.get(way).status_code == 404
    for new in ("a/b", "..", ".hidden", "-o", "a" * 65, "grains/", "a\n", "") + (name,) * (not name.isalpha()):
        assert client.post("/api/uploads", json={"name": new}).status_code == 422, new


def test_what_lies_in_a_workspace_is_found_and_what_lies_elsewhere_is_remembered(folder, tmp_path):
    write_images(random_set(count=1, seed=1), folder / "scans")
    write_images(random_set(count=1, seed=2), folder / "parts" / "training")
    write_images(random_set(count=1, seed=3), folder / "parts" / "held_out")
    for kind in ("fine", "coarse"):
        shutil.copytree(folder / "scans" / "images", folder / "classes" / kind)
    tifffile.imwrite(folder / "block.tif", np.zeros((3, 8, 8), np.uint16), photometric="minisblack")
    (folder / "-o").mkdir()
    shutil.copy(folder / "block.tif", folder / "-o")
    (folder / "notes").mkdir()
    (folder / "notes" / "text.md").write_text("nothing", encoding="utf-8")
    elsewhere = tmp_path / "far away"
    write_images(random_set(count=1, seed=4), elsewhere)
    Workspace(folder, [elsewhere])
    found = Workspace(folder).things()
    assert set(found) == {"scans", "parts/training", "parts/held_out", "classes", "block.tif", "-o", "sets/grains",
                          str(elsewhere)}  # fmt: skip
    assert {thing.kind for thing in found.values()} == {"set"}
    assert found["-o"].typed == "./-o"
    for name, thing in found.items():
        pictures, gallery = read_images(thing.path), Gallery(thing.path, name)
        assert len(gallery) == len(pictures)
        for k in range(len(pictures)):
            ours = gallery.picture(k)
            np.testing.assert_array_equal(ours.pixels, pictures[k].pixels)
            assert ours.origin == pictures[k].origin or "/" in pictures[k].origin.specimen
            np.testing.assert_array_equal(ours.spacing_um, pictures[k].spacing_um)
    for k in range(10):
        shutil.copy(folder / "scans" / "images" / "0000.png", folder / f"loose_{k}.png")
    assert "loose_1.png" not in Workspace(folder).things()
    assert len(Gallery(Workspace(folder).find(".", "set").path, ".")) == 13
    with pytest.raises(Problem, match="there is no image set and no run"):
        Workspace(folder, [folder / "notes"])
    assert kind_of(folder / "notes") is None


# --- pictures ----------------------------------------------------------------------------------------------------


def test_a_volume_is_cut_along_any_axis_and_its_window_moves(folder):
    levels = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6) * 100
    tifffile.imwrite(folder / "block.tif", levels, photometric="minisblack")
    gallery = Gallery(folder / "block.tif", "block.tif")
    for axis, cut in enumerate((levels[1], levels[:, 1], levels[:, :, 1])):
        np.testing.assert_array_equal(gallery.picture(1, axis).pixels[0], cut)
    with pytest.raises(Missing):
        gallery.picture(4)
    shown = shades(gallery.picture(0), Window(1000.0, 2000.0))
    np.testing.assert_array_equal(shown, np.clip(np.rint((levels[0].astype(float) - 1000) * 0.255), 0, 255))
    hot = np.tile(levels, (1, 8, 8))
    hot[0, 0, 0] = 65535
    tifffile.imwrite(folder / "hot.tif", hot, photometric="minisblack")
    assert Gallery(folder / "hot.tif", "hot").window.high < 12_000  # one hot pixel does not turn all others black
    with Image.open(io.BytesIO(view(gallery.picture(0), Window(0, 1), 3))) as small:
        assert max(small.size) == 3


def test_a_picture_is_sent_with_its_units(client):
    told = client.get("/api/set", params={"name": "sets/grains"}).json()
    assert (told["pictures"], told["height"], told["width"], told["pixel_type"]) == (3, 40, 48, "uint16")
    assert told["spacing_um"] == [2.5, 2.5]
    answer = client.get("/api/picture", params={"name": "sets/grains", "index": 1, "stamp": told["stamp"]})
    assert answer.headers["content-type"] == "image/png"
    assert "max-age" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.size, image.mode) == ((48, 40), "L")
    assert client.get("/api/picture", params={"name": "sets/grains", "index": 3}).status_code == 404
    found = client.get("/api/set/histogram", params={"name": "sets/grains"}).json()
    assert sum(found["channels"]["grey"]) == pytest.approx(100, abs=0.01)
    assert "no-store" in client.get("/api/things").headers["cache-control"]


def test_pages_that_draw_offer_the_runs_that_draw(client, folder):
    for name, method in (("words", "clip"), ("prior", "clip_prior"), ("pictures", "ddpm")):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "run.json").write_text(json.dumps({"method": method}), encoding="utf-8")
    told = {one["name"]: one["draws"] for one in client.get("/api/things").json()}
    assert told == {"sets/grains": False, "runs/words": False, "runs/prior": False, "runs/pictures": True}


def test_the_server_opens_without_torch_which_takes_seconds():
    pages = ("server", "looking", "training", "generating", "editing", "comparing")
    opened_all = "".join(f"import morphogen.studio.{page}; " for page in pages)
    ended = subprocess.run(
        [sys.executable, "-c", f"{opened_all}import sys; sys.exit('torch' in sys.modules)"], check=False
    )
    assert ended.returncode == 0


def test_a_file_that_is_written_over_is_seen(folder):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "one.png")
    gallery = Gallery(folder / "one.png", "one")
    assert gallery.picture(0).pixels.max() == 0
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(folder / "one.png")
    os.utime(folder / "one.png", ns=(1, 1))
    assert gallery.picture(0).pixels.max() == 9


def test_whole_grey_levels_go_whole_into_the_bins():
    even = random_set(count=1, size=(64, 64))[0]
    levels = np.tile(np.arange(0, 200, dtype=np.uint8), 21)[:4096].reshape(1, 64, 64)
    edges, channels = histogram_of([SimpleNamespace(pixels=levels, channels=1)])
    counts = np.array(channels["grey"])
    assert np.ptp(counts[:-1]) < 0.15 * counts.max()  # no teeth
    assert np.diff(edges).min() == np.diff(edges).max() == 3
    assert even.channels == 1


# --- uploads -----------------------------------------------------------------------------------------------------


def png_of(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def send(client, id, name, data, part="images"):
    return client.post(f"/api/uploads/{id}/file", params={"name": name, "part": part}, content=data)


def test_a_set_is_sent_and_is_there_whole_or_not_at_all(client, folder):
    begun = client.post("/api/uploads", json={"name": "new"}).json()
    pixels = np.random.default_rng(0).integers(0, 65535, (12, 16), dtype=np.uint16)
    for k in range(2):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels + k)
        assert send(client, begun["id"], f"scan {k}.tif", buffer.getvalue()).json()["pixels"] == 192
        mask = png_of((pixels > 30_000).astype(np.uint8) * 255)
        assert send(client, begun["id"], f"scan {k}.png", mask, "masks").status_code == 200
    assert send(client, begun["id"], "labels.csv", b"file,kind\nscan 0.tif,odd\nscan 1.tif,even\n").status_code == 200
    assert not (folder / "sets" / "new").exists()
    assert client.post(f"/api/uploads/{begun['id']}/finish").json() == {"name": "sets/new", "pictures": 2}
    read = read_images(folder / "sets" / "new")
    np.testing.assert_array_equal(read[1].pixels[0], pixels + 1)
    assert read[1].labels["kind"] == "even"
    np.testing.assert_array_equal(read[0].mask, pixels > 30_000)
    assert client.post("/api/uploads", json={"name": "new"}).status_code == 422
    assert client.post(f"/api/uploads/{begun['id']}/finish").status_code == 404


@pytest.mark.parametrize(
    "name", ["../a.png", "a/b.png", "..\\a.png", ".a.png", "-a.png", "a\n.png", "a\0.png", "a.exe", "a.zarr", "a",
             "con:.png", "x" * 300 + ".png"]
)  # fmt: skip
def test_names_of_files_are_checked(client, folder, name):
    id = client.post("/api/uploads", json={"name": "new"}).json()["id"]
    before = sorted(folder.parent.rglob("*"))
    assert send(client, id, name, png_of(np.zeros((4, 4), np.uint8))).status_code == 422
    assert sorted(folder.parent.rglob("*")) == before


def test_uploads_are_limited_by_bytes_and_by_decoded_pixels(folder):
    limits = Limits(file_bytes=4000, set_bytes=6000, set_pixels=5000)
    with opened(folder, limits) as client:
        client.get("/look")
        id = client.post("/api/uploads", json={"name": "new"}).json()["id"]
        left = lambda: [f.name for f in (folder / ".studio" / "uploads" / id).rglob("*") if f.is_file()]  # noqa: E731
        noise = np.random.default_rng(0).integers(0, 255, (80, 80), dtype=np.uint8)
        assert send(client, id, "large.png", png_of(noise)).status_code == 413
        told_less = client.build_request(
            "POST", f"/api/uploads/{id}/file", params={"name": "a.png"}, content=iter([b"x" * 3000, b"x" * 3000])
        )
        assert client.send(told_less).status_code == 413  # a length that is not told cannot be believed
        bomb = send(client, id, "bomb.png", png_of(np.zeros((1000, 1000), np.uint8)))
        assert bomb.status_code == 422
        assert "1,000,000 pixels" in bomb.json()["problem"]
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, np.zeros((1000, 1000), np.uint8), compression="zlib")
        assert "pixels" in send(client, id, "bomb.tif", buffer.getvalue()).json()["problem"]
        buffer = io.BytesIO()
        np.savez_compressed(buffer, np.zeros((200, 300), np.float32))
        assert send(client, id, "bomb.npz", buffer.getvalue()).status_code == 422
        for data in (b"", b"no image", png_of(noise[:20, :20])[:60]):
            assert send(client, id, "broken.png", data).status_code == 422
        assert send(client, id, "labels.png", b"file,kind\n").status_code == 422
        assert left() == []
        for k in range(2):
            assert send(client, id, f"{k}.png", png_of(noise[:45, :45] + k)).status_code == 200
        third = send(client, id, "2.png", png_of(noise[:45, :45]))
        assert third.status_code == 422
        assert "beyond 5,000 pixels" in third.json()["problem"] or "more than 6 kB" in third.json()["problem"]
        assert client.post("/api/uploads", content=b"{" + b" " * 70_000).status_code == 413
        send(client, id, "captions.csv", b"file,caption\nnobody.png,words\n")
        refused = client.post(f"/api/uploads/{id}/finish")
        assert refused.status_code == 422
        assert "names no image" in refused.json()["problem"]
        assert str(folder) not in refused.json()["problem"]
        assert not (folder / "sets" / "new").exists()
        assert client.post(f"/api/uploads/{id}/cancel").status_code == 204
        assert not (folder / ".studio" / "uploads" / id).exists()


# --- work --------------------------------------------------------------------------------------------------------


def eventually(check, seconds=300.0):
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found


def test_work_outlives_its_server_and_says_how_it_ended(folder):
    """One process of each end: done, refused, stopped, killed."""
    first = Works(Workspace(folder))
    done = first.start("look", "List", ["editors"])
    refused = first.start("look", "Split nothing", ["split", "nowhere", "--out", "parts"], makes="parts")
    with pytest.raises(Problem, match="is making parts"):
        first.start("look", "Again", ["split", "nowhere", "--out", "parts"], makes="parts")
    # A command that goes on until it is stopped: a server of this very kind.
    running = [first.start("look", f"Serve {k}", ["studio", f"inner-{k}", "--port", "0"]) for k in range(2)]
    with pytest.raises(Problem, match="pieces of work are going on"):
        first.start("look", "One too many", ["editors"])
    later = Works(Workspace(folder))  # a server that knows of it by the disk alone
    stopped, killed = (work.record.number for work in running)
    for number in (stopped, killed):
        eventually(lambda n=number: (folder / f".studio/work/{n:04d}/process.json").exists())
        assert later.get(number).state == "running"
    os.kill(json.loads((folder / f".studio/work/{killed:04d}/process.json").read_text())["pid"], signal.SIGKILL)
    assert later.stop(stopped).state in ("stopping", "stopped", "done")
    eventually(lambda: first.get(stopped).state in ("stopped", "done"))
    eventually(lambda: later.get(killed).state == "died")
    assert "killed" in later.get(killed).said
    with pytest.raises(Problem, match="has ended"):
        later.stop(stopped)
    assert eventually(lambda: later.get(done.record.number).state == "done")
    assert "inpaint" in later.log(done.record.number)
    found = later.get(refused.record.number)
    assert (found.state, found.made) == ("refused", False)
    assert found.said.startswith("there is no file or folder nowhere")
    assert found.command == "morphogen split nowhere --out parts"
    assert [work.record.number for work in later.all()] == [4, 3, 2, 1]


def test_a_process_that_has_the_number_of_another_is_not_taken_for_it(folder):
    works = Works(Workspace(folder), launch=lambda _, place: subprocess.Popen(["true"]))
    number = works.start("look", "List", ["editors"]).record.number
    place = folder / ".studio" / "work" / f"{number:04d}"
    born = psutil.Process().create_time()
    (place / "process.json").write_text(json.dumps({"pid": os.getpid(), "born": born - 100}), encoding="utf-8")
    eventually(lambda: Works(Workspace(folder)).get(number).state == "died")


def test_training_is_started_and_gone_on_with_by_what_one_would_type(client, folder):
    asked = {"set": "sets/grains", "method": "vae", "name": "first", "seconds": 90, "crop": [16, 32],
             "specimen": "rock", "settings": {"channels": "[8, 16]", "batch_size": ""}, "seed": 3}  # fmt: skip
    told = client.post("/api/train/command", json=asked).json()["command"]
    assert told == (
        "morphogen train vae sets/grains --out runs/first --seconds 90 --crop 16 32 --specimen rock"
        " --set 'channels=[8, 16]' --seed 3 --samples-every 3.75"
    )
    work = client.post("/api/train", json=asked).json()
    assert work["command"] == told
    (folder / "runs" / "first").mkdir(parents=True)
    (folder / "runs" / "first" / "run.json").write_text("{}", encoding="utf-8")
    on = client.post(f"/api/work/{work['record']['number']}/go-on", json={"seconds": 200}).json()
    assert on["command"].endswith("--samples-every 3.75 --seconds 200 --continue")
    assert on["record"]["after"] == work["record"]["number"]
    assert client.post(f"/api/work/{work['record']['number']}/go-on", json={}).status_code == 422
    for wrong, status in (
        ({"method": "nothing"}, 404), ({"method": "distilled"}, 404), ({"name": "first"}, 422),
        ({"images_seen": 5}, 422), ({"seconds": None}, 422), ({"settings": {"chanels": "1"}}, 404),
        ({"settings": {"--out": "x"}}, 422), ({"name": "../x"}, 422), ({"specimen": "bread"}, 404),
        ({"method": "cyclegan"}, 422), ({"sources": "sets/grains"}, 422),
    ):  # fmt: skip
        answer = client.post("/api/train", json={**asked, "name": "other", **wrong})
        assert answer.status_code == status, (wrong, answer.text)
        assert "\n" not in answer.json()["problem"]


def test_curves_are_means_of_what_was_written_and_half_lines_are_none(tmp_path):
    lines = [{"images_seen": 4 * k, "seconds": k / 2, "losses": {"total": float(k)}} for k in range(1, 1001)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "progress.jsonl").write_text(text + '{"images_seen": 9, "loss', encoding="utf-8")
    journals = Journals()
    read = journals.of(tmp_path)
    assert len(read) == 1000
    with open(tmp_path / "progress.jsonl", "a", encoding="utf-8") as file:
        file.write('es": 0}\n' + json.dumps(lines[-1] | {"images_seen": 5000}) + "\n")
    assert [line.images_seen for line in journals.of(tmp_path)[-2:]] == [4000.0, 5000.0]
    curves, seconds = thinned(read, 100)
    assert curves["total"][0] == (40.0, 5.5)
    assert curves["total"][-1] == (4000.0, 995.5)
    assert seconds[-1] == (4000.0, 500.0)


# --- what is broken ----------------------------------------------------------------------------------------------


def test_what_is_damaged_is_told_in_a_line(client, folder):
    (folder / "sets" / "broken").mkdir()
    (folder / "sets" / "broken" / "a.png").write_bytes(b"no image")
    (folder / "runs" / "bad").mkdir(parents=True)
    (folder / "runs" / "bad" / "run.json").write_text("{", encoding="utf-8")
    (folder / "cards" / "bad").mkdir(parents=True)
    (folder / "cards" / "bad" / "card.json").write_text("[NaN", encoding="utf-8")
    for path, name in (("set", "sets/broken"), ("picture", "sets/broken"), ("run", "runs/bad")):
        answer = client.get(f"/api/{path}", params={"name": name})
        assert answer.status_code == 422
        assert "\n" not in answer.json()["problem"]
    assert client.get("/api/set/card", params={"name": "sets/grains"}).json()["card"] is None
    assert client.get("/api/report", params={"name": "cards/bad"}).status_code == 404
    assert [run["name"] for run in client.get("/api/runs").json()] == []


def test_a_fuzz_from_the_own_description_finds_no_fault(folder):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    hypothesis = pytest.importorskip("hypothesis")
    studio = small_studio(folder)
    app = server.studio_app(studio)
    shutil.copytree(folder / "sets" / "grains", folder / "made" / "grains")
    with testclient.TestClient(app, base_url="http://127.0.0.1") as client:
        client.get("/look")
        begun = client.post("/api/uploads", json={"name": "new"}).json()["id"]
        studio.works.start("train", "Train", ["train", "vae", "sets/grains", "--seconds", "1"], makes="runs/one")
        real = {"name": "sets/grains", "set": "sets/grains", "number": 1, "id": begun, "method": "vae"}
        schema = schemathesis.openapi.from_dict(app.openapi())
        statuses, asked_of = Counter(), Counter()
        for operation in (result.ok() for result in schema.get_all_operations()):
            strategy = operation.as_strategy()

            @hypothesis.given(case=strategy, known=hypothesis.strategies.booleans())
            @hypothesis.settings(max_examples=5, database=None, deadline=None, derandomize=True,
                                 suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
            def asked(case, known):
                if known:  # what is there, so that more than "not found" is tried
                    for place in (case.path_parameters, case.query, case.body):
                        if isinstance(place, dict):
                            place.update({key: real[key] for key in place if key in real})
                sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
                kept = ("method", "url", "params", "json", "data", "headers")
                found = client.request(**{k: v for k, v in sent.items() if k in kept})
                statuses[found.status_code] += 1
                assert found.status_code < 500, (sent, found.text)

            asked()
            asked_of[operation.path] += 1
    assert set(asked_of) == {path for path, _ in every_route(app) if path.startswith("/api/")}
    assert statuses[200] > 10
    assert statuses[422] > 10
