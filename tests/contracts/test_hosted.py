"""A hosted image service, as a server on this machine plays it: what is sent, paid for and kept, and how it fails."""

import io
import json
import os
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from morphogen.editing.editor import Instruction, editor_class, editor_settings
from morphogen.generation.hosted import order
from morphogen.images.folders import read_images
from morphogen.pretrained.image_service import RESIZED, SERVICE, ImageService, ServiceRequest, ServiceSettings
from morphogen.problems import Problem
from small_service import Service
from small_sets import random_set

KEY = "sk-not-to-be-seen-1234"
VARIABLE = "KEY_OF_THE_TEST"


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv(VARIABLE, KEY)
    found = Service()
    yield found
    found.close()


def settings(service, tmp_path, **changes):
    given = {"model": "painter-1", "address": f"http://127.0.0.1:{service.port}/v1", "key_variable": VARIABLE,
             "size": "16x16", "yes": True, "answers": tmp_path / "answers", "timeout": 5}  # fmt: skip
    return given | changes


def ordered(service, tmp_path, count=1, caption="a rock", **changes):
    return order(caption, ServiceSettings(**settings(service, tmp_path, **changes)), count=count)


def says(status, message="no", code=None, **headers):
    body = json.dumps({"error": {"message": message, "type": "error", "code": code}})
    return lambda handler: handler.say(status, body, **headers)


def cut(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def test_an_order_is_what_was_asked_and_is_marked(service, tmp_path):
    images = order("a rock", ServiceSettings(**settings(service, tmp_path)), count=2, folder=tmp_path / "made")
    path, fields = service.asked[0]
    assert path == "/v1/images/generations"
    assert fields == {"model": "painter-1", "prompt": "a rock", "n": 1, "size": "16x16",
                      "authorization": f"Bearer {KEY}"}  # fmt: skip
    assert [int(p.pixels[0, 0, 0]) for p in images] == [40, 80]
    back = read_images(tmp_path / "made")
    assert back[1].labels[SERVICE] == f"painter-1 at 127.0.0.1:{service.port}"
    assert back[1].labels["caption"] == "a rock"
    assert KEY.encode() not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_nothing_is_paid_for_twice(service, tmp_path):
    first = ordered(service, tmp_path, count=2)
    more = ordered(service, tmp_path, count=3)
    assert len(service.asked) == 3
    assert [p.pixels[0, 0, 0] for p in more][:2] == [p.pixels[0, 0, 0] for p in first]
    for changes in ({"caption": "a root"}, {"model": "painter-2"}, {"size": "32x16"}):
        ordered(service, tmp_path, **changes)
    assert len(service.asked) == 6


def test_what_has_arrived_is_kept_when_the_connection_is_cut(service, tmp_path, capsys):
    answered = service.answer

    def answer_twice_then_cut(fields):
        if len(service.asked) == 2:
            service.failures.append(cut)
        return answered(fields)

    service.answer = answer_twice_then_cut
    with pytest.raises(Problem, match=r"was cut before an answer; it may charge .* is kept"):
        ordered(service, tmp_path, count=4)
    assert len(list((tmp_path / "answers").glob("*.json"))) == 2
    capsys.readouterr()
    assert len(ordered(service, tmp_path, count=4)) == 4
    assert len(service.asked) == 4
    told = " ".join(capsys.readouterr().err.split())
    assert "2 images of" in told
    assert "1 of them may have been charged before, when no answer came" in told  # the one that was cut, and only that
    assert {p.suffix for p in (tmp_path / "answers").iterdir()} == {".json"}


def test_nothing_is_asked_for_that_could_not_be_kept(service, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(Problem, match=r"answers cannot be kept in .*file/answers"):
        ordered(service, tmp_path, answers=tmp_path / "file" / "answers")
    monkeypatch.setattr("morphogen.pretrained.image_service._ROOM", 1 << 60)
    with pytest.raises(Problem, match="keeping an answer needs"):
        ordered(service, tmp_path)
    assert not service.asked
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, KEY)

    # The disk fills up while the service draws: the answer is kept elsewhere, and is as good there.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    answered = service.answer

    def answer_and_take_the_folder_away(fields):
        shutil.rmtree(tmp_path / "answers")
        (tmp_path / "answers").write_text("")
        return answered(fields)

    service.answer = answer_and_take_the_folder_away
    with pytest.raises(Problem, match=r"an answer that was paid for is in .*elsewhere"):
        ordered(service, tmp_path)
    (tmp_path / "answers").unlink()
    shutil.move(elsewhere, tmp_path / "answers")
    ordered(service, tmp_path)
    assert len(service.asked) == 1


def test_a_busy_service_is_waited_for_as_it_asks(service, tmp_path):
    waits = []
    asked = ImageService(ServiceSettings(**settings(service, tmp_path, patience=30)), wait=waits.append)
    request = ServiceRequest("generate", "a rock")
    asked.agree([request])
    service.failures = [says(429, retry_after=7), says(503), says(429, retry_after=3)]
    asked.image(request)
    assert waits == [7, 14, 3]
    assert len(service.asked) == 1
    other = ServiceRequest("generate", "a root")
    asked.agree([other])
    service.failures = [says(429, retry_after=3600)]
    with pytest.raises(Problem, match="no capacity and asks to wait 3600 s"):
        asked.image(other)


FAILURES = {
    "content policy": (
        says(400, "Your request was rejected.", "content_policy_violation"),
        "refuses by its content policy",
    ),
    "moderation": (says(400, "Rejected by the safety system", "moderation_blocked"), "refuses by its content policy"),
    "bad key": (says(401, f"Incorrect API key provided: {KEY}"), r"does not accept the key .*\*\*\*"),
    "no such model": (says(404, "The model does not exist"), "does not know what is asked"),
    "used up": (says(429, "You exceeded your quota", "insufficient_quota"), "account .* is used up"),
    "wrong size": (says(400, "Invalid size"), r"refuses, 400 \(Invalid size\)"),
    "broken": (says(500, "oops"), "failed, 500"),
    "web page": (lambda h: h.say(200, "<!doctype html><p>Welcome", "text/html"), "answers with a web page"),
    "web page not found": (lambda h: h.say(404, "<html>Not found</html>", "text/html"), "answers with a web page"),
    "no image": (lambda h: h.say(200, json.dumps({"data": []})), "an answer without an image"),
    "cut answer": (lambda h: h.say(200, '{"data": [{"b64_'), "an answer without an image"),
    "not base64": (lambda h: h.say(200, json.dumps({"data": [{"b64_json": "?"}]})), "an answer without an image"),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_each_failure_is_one_clear_line_and_asked_once(service, tmp_path, kind):
    failure, message = FAILURES[kind]
    service.failures = [failure]
    with pytest.raises(Problem, match=message) as problem:
        ordered(service, tmp_path)
    assert "\n" not in str(problem.value)
    assert KEY not in str(problem.value)
    assert not service.failures
    assert not service.asked
    charged = kind in ("broken", "web page", "no image", "cut answer", "not base64")  # or may be: it was taken
    assert len(list((tmp_path / "answers").glob("*.sent"))) == charged
    assert len(ordered(service, tmp_path)) == 1  # and nothing is in the way of the next one


def test_a_service_that_does_not_answer(service, tmp_path):
    held = threading.Event()
    service.failures = [lambda handler: held.wait(3)]
    with pytest.raises(Problem, match=r"gave no answer within 0\.2 s"):
        ordered(service, tmp_path, timeout=0.2)
    held.set()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    with pytest.raises(Problem, match=f"{nowhere} cannot be reached"):
        ordered(service, tmp_path, address=nowhere)


def test_an_image_by_its_address_is_fetched_again_without_paying(service, tmp_path):
    service.by_address = service.lose_files = True
    with pytest.raises(Problem, match=r"cannot be fetched .* nothing is paid again"):
        ordered(service, tmp_path)
    service.lose_files = False
    [picture] = ordered(service, tmp_path)
    assert int(picture.pixels[0, 0, 0]) == 40
    service.lose_files = True
    ordered(service, tmp_path)
    assert len(service.asked) == 1


def test_the_cost_is_told_and_agreed_to(service, tmp_path, capsys, monkeypatch):
    ordered(service, tmp_path, count=3, price=0.04)
    told = " ".join(capsys.readouterr().err.split())
    assert "3 images of 16x16 by painter-1" in told
    assert "for 0.12 at 0.04 each" in told
    ordered(service, tmp_path, count=5)
    told = " ".join(capsys.readouterr().err.split())
    assert "2 images of 16x16" in told
    assert "at an unknown cost" in told
    assert "3 more are kept" in told
    before = len(service.asked)
    with pytest.raises(Problem, match="nobody is there to agree"):
        ordered(service, tmp_path, count=6, yes=False)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    with pytest.raises(Problem, match="nothing was sent"):
        ordered(service, tmp_path, count=6, yes=False)
    assert len(service.asked) == before
    ordered(service, tmp_path, count=5, yes=False)  # all of it is kept: nothing to agree to


def test_settings_that_cannot_work(service, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE)
    for changes, message in (
        ({}, f"variable {VARIABLE} holds no key"),
        ({"key_file": tmp_path / "none"}, "key cannot be read"),
    ):
        with pytest.raises(Problem, match=message):
            ordered(service, tmp_path, **changes)
    (tmp_path / "key").write_text(KEY + "\n")
    for changes, message in (
        ({"model": ""}, "not said which model"),
        ({"address": "host/v1"}, "no address of a service"),
        ({"address": "https://me:secret@host/v1"}, "holds a password"),
        ({"caption": "a" * 10_000}, "10,000 characters"),
        ({"caption": " "}, "empty"),
    ):
        with pytest.raises(Problem, match=message):
            ordered(service, tmp_path, **{"key_file": tmp_path / "key"} | changes)
    assert not service.asked
    ordered(service, tmp_path, key_file=tmp_path / "key")
    assert service.asked[0][1]["authorization"] == f"Bearer {KEY}"


def editor(service, tmp_path, **changes):
    given = {name: str(value) if isinstance(value, Path) else value
             for name, value in settings(service, tmp_path, **changes).items()}  # fmt: skip
    return editor_class("hosted_edit")(editor_settings("hosted_edit", given), None, cpu=True)


def seen(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_an_edit_sends_image_and_mask_and_keeps_what_is_outside(service, tmp_path):
    [source] = random_set(1, (24, 48), dtype="uint16")
    mask = np.zeros((24, 48), bool)
    mask[4:12, 10:30] = True
    service.answer = lambda fields: 255 - seen(fields["image"])  # the negative
    asked = editor(service, tmp_path, size="64x32")
    [edit] = asked.edit([source], [Instruction(caption="more pores", mask=mask)], seed=0, first=0)
    path, fields = service.asked[0]
    assert path == "/v1/images/edits"
    assert fields["prompt"] == b"more pores"
    assert seen(fields["image"]).shape == (32, 64, 3)  # of the source's shape: nothing was filled up
    alpha = seen(fields["mask"])[..., 3]
    assert alpha.shape == (32, 64)
    assert set(np.unique(alpha)) == {0, 255}
    assert not alpha[8:14, 16:38].any()
    assert (alpha[:, 50:] == 255).all()
    made = edit.picture
    assert made.pixels.dtype == np.uint16
    np.testing.assert_array_equal(made.pixels[:, ~mask], source.pixels[:, ~mask])
    low, high = float(source.pixels.min()), float(source.pixels.max())
    inside = mask.copy()
    negative = low + high - source.pixels.astype(float)
    assert np.corrcoef(made.pixels[0][inside], negative[0][inside])[0, 1] > 0.9
    assert made.labels[SERVICE].startswith("painter-1 at")
    assert made.labels[RESIZED] == "24 x 48 to 32 x 64 to 24 x 48, by Lanczos' window"


def test_a_source_of_the_size_that_is_asked_for_is_not_resized(service, tmp_path):
    [source] = random_set(1, (16, 32), channels=3)
    service.answer = lambda fields: seen(fields["image"])
    asked = editor(service, tmp_path, size="32x16")
    [edit] = asked.edit([source], [Instruction(words="do nothing")], seed=0, first=0)
    np.testing.assert_array_equal(edit.picture.pixels, source.pixels)
    assert RESIZED not in edit.picture.labels
    [square] = random_set(1, (16, 16))
    [edit] = asked.edit([square], [Instruction(words="do nothing")], seed=0, first=0)
    np.testing.assert_array_equal(edit.picture.pixels, square.pixels)  # filled up at both sides, and cut back


def test_a_variation_needs_no_words_and_edits_are_agreed_to_together(service, tmp_path, capsys):
    sources = list(random_set(3))
    asked = editor(service, tmp_path, size="48x40", price=0.5)
    for source in sources:
        asked.check(source, Instruction())
    for first in (0, 2):
        asked.edit(sources[first : first + 2], [Instruction()] * len(sources[first : first + 2]), seed=1, first=first)
    assert [path for path, _ in service.asked] == ["/v1/images/variations"] * 3
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("images of") == 1
    assert "kept" not in told
    assert "3 images of 48x40" in told
    assert "for 1.5 at 0.5 each" in told
    asked.edit(sources, [Instruction()] * 3, seed=1, first=0)
    assert len(service.asked) == 3
    asked.edit(sources[:1], [Instruction()], seed=2, first=0)
    assert len(service.asked) == 4
    with pytest.raises(Problem, match="give a caption"):
        asked.check(sources[0], Instruction(mask=np.ones((40, 48), bool)))


def test_the_key_is_in_no_log(service, tmp_path):
    assert KEY not in repr(ImageService(ServiceSettings(**settings(service, tmp_path))))
    assert KEY not in ServiceSettings(**settings(service, tmp_path)).model_dump_json()
    assert os.environ[VARIABLE] == KEY
