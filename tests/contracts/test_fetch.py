"""Fetching a public set: from a server on this machine that cuts, lies, moves and asks to wait; never from the
network."""

import hashlib
import http.server
import io
import json
import stat
import tarfile
import threading
import time
import zipfile
from email.utils import formatdate

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from morphogen.cli import cli
from morphogen.data_sets.data_set import OWN_SETS, data_set, data_set_names, is_safe
from morphogen.data_sets.download import LONGEST_WAIT_S, TRIES, download
from morphogen.data_sets.fetch import DOWNLOADS, SOURCE, fetch
from morphogen.data_sets.unpack import unpack
from morphogen.images.folders import read_images
from morphogen.problems import Problem

DATA = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves ``files``; ``plan`` says for each path what goes wrong with its next answers."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    plan: dict[str, list]
    asked: list
    tag = '"one"'

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path
        type(self).asked.append((path, self.headers.get("Range"), self.headers.get("If-Range")))
        wrong = self.plan.get(path, [])
        fault = wrong.pop(0) if wrong else None
        if isinstance(fault, tuple) and fault[0] == "status":
            self.send_response(fault[1])
            for name, value in fault[2].items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = self.files[path]
        first = 0
        ranged = self.headers.get("Range") if fault != "no ranges" else None
        if ranged and self.headers.get("If-Range") == self.tag:
            first = int(ranged.removeprefix("bytes=").removesuffix("-"))
            if first >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("ETag", self.tag)
        self.send_header("Content-Type", "text/html" if path.endswith(".html") else "application/octet-stream")
        if fault != "no length":
            self.send_header("Content-Length", str(len(data) - first))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        end = first + fault if isinstance(fault, int) else len(data)
        self.wfile.write(data[first:end])
        if isinstance(fault, int) or fault == "no length":
            self.close_connection = True


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    handler = type("Handler", (Server,), {"files": {"/a.bin": DATA}, "plan": {}, "asked": []})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    handler.at = f"http://127.0.0.1:{running.server_address[1]}"
    yield handler
    running.shutdown()
    running.server_close()


def test_a_cut_download_goes_on_where_it_was(server, tmp_path):
    server.plan["/a.bin"] = [100_000, 50_000]
    waits = []
    whole = download(f"{server.at}/a.bin", tmp_path / "a.bin", sha256=SHA256, wait=waits.append)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert (whole.size, whole.sha256) == (len(DATA), SHA256)
    assert [ranged for _, ranged, _ in server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert server.asked[1][2] == '"one"'
    assert len(waits) == 2
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_file()) == ["a.bin"]


def test_it_goes_on_in_another_run_and_begins_anew_when_the_file_has_changed(server, tmp_path):
    target = tmp_path / "a.bin"
    server.plan["/a.bin"] = [100_000] + [("status", 503, {})] * TRIES
    with pytest.raises(Problem, match="failed 6 times without a byte, last: HTTP 503"):
        download(f"{server.at}/a.bin", target, wait=lambda _: None)
    assert (tmp_path / "a.bin.part").stat().st_size == 100_000
    assert not target.exists()
    changed = DATA[::-1]
    server.files["/a.bin"], server.tag = changed, '"two"'
    assert download(f"{server.at}/a.bin", target).sha256 == hashlib.sha256(changed).hexdigest()
    assert server.asked[-1][1:] == ("bytes=100000-", '"one"')  # asked for the rest, and got all of the new one
    assert target.read_bytes() == changed


@pytest.mark.parametrize("fault", ["no ranges", "no length"])
def test_servers_without_ranges_or_lengths(server, tmp_path, fault):
    server.plan["/a.bin"] = [100_000, fault]
    assert download(f"{server.at}/a.bin", tmp_path / "a.bin", wait=lambda _: None).sha256 == SHA256
    server.plan["/a.bin"] = [fault]
    assert download(f"{server.at}/a.bin", tmp_path / "b.bin", size=len(DATA)).sha256 == SHA256


def test_it_waits_as_long_as_it_is_asked_to(server, tmp_path):
    soon = formatdate(time.time() + 30, usegmt=True)
    server.plan["/a.bin"] = [("status", 429, {"Retry-After": "7"}), ("status", 503, {"Retry-After": soon}),
                             ("status", 500, {}), ("status", 502, {})]  # fmt: skip
    waits = []
    download(f"{server.at}/a.bin", tmp_path / "a.bin", wait=waits.append)
    assert waits[0] == 7
    assert 20 < waits[1] <= 30
    assert waits[3] == 2 * waits[2]
    server.plan["/a.bin"] = [("status", 429, {"Retry-After": str(int(LONGEST_WAIT_S) + 1)})]
    with pytest.raises(Problem, match="asks to come back in 301 s"):
        download(f"{server.at}/a.bin", tmp_path / "b.bin", wait=waits.append)


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("/none", {}, r"it is not there \(HTTP 404\): download it by hand from PAGE, then give it to the fetch"),
        ("/account", {}, r"it needs an account \(HTTP 401\)"),
        ("/page.html", {}, "gave a web page and no data"),
        ("/hidden", {}, "gave a web page and no data"),
        ("/a.bin", {"size": 5}, "has 300,000 bytes, and 5 were published"),
        ("/a.bin", {"sha256": "0" * 64}, "its sha256 is .* and 0000000000000000... was stated; it was removed"),
        ("/a.bin", {"md5": "0" * 32}, "its md5 is "),
        ("/away", {}, "leads on to http://example.org/, which is not https"),
    ],
)
def test_what_is_not_the_data_is_said_and_leaves_nothing(server, tmp_path, path, options, message):
    server.plan |= {
        "/none": [("status", 404, {})],
        "/account": [("status", 401, {})],
        "/away": [("status", 302, {"Location": "http://example.org/"})],
    }
    server.files |= {"/page.html": b"<p>", "/hidden": b"\n <!DOCTYPE html><html>log in</html>"}
    with pytest.raises(Problem, match=message):
        download(f"{server.at}{path}", tmp_path / "x.bin", page="PAGE", **options)
    assert not (tmp_path / "x.bin").exists()


def test_https_and_this_machine_are_safe_and_nothing_else_is():
    assert is_safe("https://example.org/a")
    assert is_safe("http://127.0.0.1:80/a")
    assert not any(
        map(
            is_safe,
            ("http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "http://127.0.0.1.example.org"),
        )
    )


def test_where_there_is_no_room_nothing_is_begun(server, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(Problem, match="downloading it needs 0 MB"):
        download(f"{server.at}/a.bin", tmp_path / "a.bin")
    assert not (tmp_path / "a.bin.part").exists()


def archive_of(files, kind="zip"):
    made = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, content in files.items():
                opened.writestr(name, content)
    else:
        with tarfile.open(fileobj=made, mode="w:gz") as opened:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                opened.addfile(info, io.BytesIO(content))
    return made.getvalue()


def link(target):
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        opened.writestr(info, target)
    return made.getvalue()


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt", "a\\..\\out.txt", "C:out.txt", "a\nb"])
def test_archives_that_climb_out_are_refused(tmp_path, kind, name):
    (tmp_path / "to").mkdir()
    (tmp_path / "a.zip").write_bytes(archive_of({"good.txt": b"1", name: b"2"}, kind))
    with pytest.raises(Problem, match="leaves the folder or is no name"):
        unpack(tmp_path / "a.zip", tmp_path / "to", kind)
    assert sorted(f.name for f in tmp_path.rglob("*")) == ["a.zip", "to"]


def test_links_bombs_twins_and_ruins_are_refused(tmp_path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as opened:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        opened.addfile(info)
    whole = archive_of({"a.txt": b"x" * 5000})
    for content, kind, message in (
        (link("/etc/passwd"), "zip", "'link' is a link or a device"),
        (made.getvalue(), "tar", "'link' is a link or a device"),
        (archive_of({"a.txt": bytes(60_000_000)}), "zip", "would unpack to 0.1 GB"),
        (archive_of({"a.txt": b"1", "A.txt": b"2"}), "zip", "is in it twice"),
        (whole[: len(whole) // 2], "zip", "is a damaged zip archive"),
        (b"nothing", "tar", "is a damaged tar archive"),
        (archive_of({"a/": b""}), "zip", "has no files"),
    ):
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(Problem, match=message):
            unpack(tmp_path / "a", tmp_path, kind)
        assert [f.name for f in tmp_path.iterdir()] == ["a"]


def picture_bytes(level):
    made = io.BytesIO()
    Image.fromarray(np.full((20, 30), level, np.uint8)).save(made, "PNG")
    return made.getvalue()


@pytest.fixture
def described(server, tmp_path, monkeypatch):
    """A set with images and masks in one archive, described in a folder of one's own."""
    archive = archive_of({f"set-main/raw/{n}{end}.png": picture_bytes(200) for n in "ab" for end in ("", "-mask")}
                         | {"set-main/README": b"no"})  # fmt: skip
    server.files["/set.zip"] = archive
    own = tmp_path / "own"
    own.mkdir()

    def write(**changes):
        said = {
            "title": "A set", "about": "Two images.", "doi": "10.1/2", "licence": "CC0 1.0", "cite": "Somebody: A set.",
            "page": "https://example.org/set", "size": "1 kB", "masks_end": "-mask",
            "files": [{"name": "set.zip", "url": f"{server.at}/set.zip", "unpack": "zip", "only": "set-main/raw"}],
            "next": "morphogen describe {folder}",
        } | changes  # fmt: skip
        (own / "small.yaml").write_text(yaml.safe_dump(said))

    write()
    monkeypatch.setenv(OWN_SETS, str(own))
    monkeypatch.chdir(tmp_path)
    return write


def test_a_set_is_fetched_unpacked_recorded_and_goes_on(described, server, tmp_path):
    server.plan["/set.zip"] = [50]
    said = CliRunner().invoke(cli, ["fetch", "small"])
    assert said.exit_code == 0, said.output
    assert "Licence: CC0 1.0" in said.output
    assert "Nobody states a checksum of set.zip" in said.output
    assert "Then: morphogen describe small" in said.output
    images = read_images(tmp_path / "small")
    assert [p.mask is not None for p in images] == [True, True]
    source = json.loads((tmp_path / "small" / SOURCE).read_text())
    assert (source["doi"], source["licence"], source["files"][0]["unpacked_files"]) == ("10.1/2", "CC0 1.0", 4)
    assert source["files"][0]["sha256"] == hashlib.sha256(server.files["/set.zip"]).hexdigest()
    assert not (tmp_path / "small" / DOWNLOADS).exists()
    asked = len(server.asked)
    fetch("small")  # it is there
    assert len(server.asked) == asked
    # Another download of other bytes, elsewhere: the first one is what is believed.
    server.files["/set.zip"] = archive_of({"set-main/raw/c.png": picture_bytes(1)})
    with pytest.raises(Problem, match="is not what was published: its sha256"):
        fetch("small", "elsewhere")
    with pytest.raises(Problem, match="holds something else already"):
        fetch("small", tmp_path / "own")


def test_the_publisher_is_asked_for_addresses_and_checksums(described, server, tmp_path):
    data = server.files["/set.zip"]
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    file = {"name": "set.zip", "unpack": "zip", "only": "set-main/raw"}
    server.files["/fig/7"] = json.dumps(
        {"files": [{"name": "set.zip", "size": len(data), "download_url": f"{server.at}/set.zip", "computed_md5": md5}],
         "license": {"name": "CC BY 4.0"}}
    ).encode()  # fmt: skip
    server.files["/zen/7"] = json.dumps(
        {"files": [{"key": "set.zip", "size": len(data), "checksum": "md5:" + "0" * 32,
                    "links": {"self": f"{server.at}/set.zip"}}], "metadata": {"license": {"id": "cc0-1.0"}}}
    ).encode()  # fmt: skip
    described(files=[file], record={"at": "figshare", "id": 7, "api": f"{server.at}/fig"})
    found = fetch("small")
    assert found.source.files[0].checked == f"md5 {md5} stated by the publisher"
    assert any("states the licence 'CC BY 4.0'; the description here says 'CC0 1.0'" in r for r in found.remarks)
    described(files=[file], record={"at": "zenodo", "id": 7, "api": f"{server.at}/zen"})
    with pytest.raises(Problem, match="its md5 is"):
        fetch("small", "again")
    server.files["/fig/7"] = b'{"message": "moved"}'
    described(files=[file], record={"at": "figshare", "id": 7, "api": f"{server.at}/fig"})
    with pytest.raises(Problem, match="does not answer as it used to"):
        fetch("small", "again")


def test_what_a_person_downloads_is_checked_and_recorded(described, server, tmp_path):
    described(by_hand="it needs an account")
    with pytest.raises(Problem, match=r"cannot be fetched: it needs an account: download set.zip from https://example"):
        fetch("small")
    (tmp_path / "mine.zip").write_bytes(server.files["/set.zip"])
    found = fetch("small", given=tmp_path / "mine.zip")
    assert found.source.files[0].unpacked_files == 4
    assert len(read_images(tmp_path / "small")) == 2
    assert not server.asked
    described(by_hand="it needs an account", files=[{"name": "set.zip", "sha256": "0" * 64, "unpack": "zip"}])
    with pytest.raises(Problem, match="is not what was published"):
        fetch("small", "again", given=tmp_path / "mine.zip")


def test_every_description_is_whole_and_honest():
    assert {"berea", "cfrp", "eleven_sandstones", "prmi", "segroot"} <= set(data_set_names())
    for one in map(data_set, data_set_names()):
        assert one.doi.startswith("10.")
        assert one.doi in one.cite or one.doi_is == "paper"
        assert "{folder}" in one.next
        for file in one.files:
            assert file.checksum_from or file.sha256 is None  # nobody's checksum is nobody's
    listed = CliRunner().invoke(cli, ["fetch", "--list"]).output
    assert "10.6084/m9.figshare.1153794.v2" in listed
    assert "licence CC BY 4.0" in listed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"doy": 1}, "'doy' is not a known key"),
        ({"files": [{"name": "a/b"}]}, "a plain file name without folders"),
        ({"files": [{"name": "a", "url": "http://example.org/a"}]}, "an https address, or one of http with a sha256"),
        ({"files": [{"name": "a"}]}, "a set with a url for each file"),
    ],
)
def test_a_description_with_a_mistake_is_refused_in_one_line(described, changes, message):
    described(**changes)
    with pytest.raises(Problem, match=message):
        data_set("small")
    with pytest.raises(Problem, match="there is no data set 'smal': choose one of berea"):
        data_set("smal")
