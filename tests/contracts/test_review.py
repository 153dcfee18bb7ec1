"""A blind review: nothing gives an image away, no acknowledged answer is lost, and what is wrong is said in a line."""

import itertools
import json
import os
import resource
import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import httpx
import numpy as np
import pytest

from morphogen.cli import cli
from morphogen.evaluation.records import Comparison, Estimate, Score
from morphogen.images.folders import read_images, write_images
from morphogen.images.image_set import Pictures
from morphogen.images.picture import TRAINED_ON
from morphogen.problems import Problem
from morphogen.report.study_record import SpecimenRecord, StudyRecord
from morphogen.review.answers import ANSWERS, AnswerBook, Given, last_of_each, read_answers
from morphogen.review.folder import OpenReview
from morphogen.review.making import new_review
from morphogen.review.records import canonical
from morphogen.review.results import review_results
from morphogen.review.results_page import read_evidence, with_section, write_results
from morphogen.review.sealing import read_code, require_blind, unseal, write_code
from morphogen.serving.guard import Guard
from morphogen.serving.one_server import require_one_server
from small_review import answer_all, noise_set, small_review, started, truth

testclient = pytest.importorskip("fastapi.testclient", reason="a review is served by FastAPI")
server = pytest.importorskip("morphogen.review.server")

KINDS = ("one", "two", "prefer", "rate")
SENSITIVITY = {"measured": 0.0, "painter": 0.3, "copier": 2.5, "criterion": 0.7}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review") / "study"
    found = small_review(folder, kinds=KINDS, questions=6, training=2, repeats=0.5)
    review = OpenReview.of(folder)
    return folder, found, review, unseal(review.sealed, found.code, review.study)


@pytest.fixture
def study(made, tmp_path):
    """A copy that a test may answer and harm."""
    shutil.copytree(made[0], tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture
def client(study, made):
    with testclient.TestClient(server.review_app(OpenReview.of(study)), base_url="http://127.0.0.1") as found:
        found.link = made[1].links["Ada"]
        found.get(found.link)
        yield found


def send(client, position, choice=0, attempt=None, **more):
    body = {"position": position, "choice": choice, "seconds": 1.5, "attempt": attempt or f"attempt-{position}"} | more
    return client.post(f"{client.link}answer", json=body)


def send_any(client, position, question):
    ratings = [3, None, 1, 5, 2] if question.kind == "rate" else []
    return send(client, position, None if ratings else 1, ratings=ratings)


# --- the design --------------------------------------------------------------------------------------------------


def test_each_rater_sees_the_same_in_an_order_of_his_own_balanced(made):
    _, _, review, key = made
    ada, ben = (rater.questions for rater in review.study.design.raters)
    asked = [[q for q in questions if q.repeat_of is None] for questions in (ada, ben)]
    assert {frozenset(q.images) for q in asked[0]} == {frozenset(q.images) for q in asked[1]}
    assert [q.images for q in asked[0]] != [q.images for q in asked[1]]
    shown = [name for q in asked[0] for name in q.images]
    assert len(shown) == len(set(shown)) == len(review.study.design.images)  # training images too are shown only once
    for questions in (ada, ben):
        main = [q for q in questions if not q.training and q.repeat_of is None]
        one = Counter(truth(key, q)[0] for q in main if q.kind == "one")
        assert one["measured"] == 3
        assert {one["painter"], one["copier"]} == {1, 2}
        two = [truth(key, q) for q in main if q.kind == "two"]
        assert sum(sets[0] == "measured" for sets in two) == 3  # each side half of the time
        assert Counter(name for sets in two for name in sets) == {"measured": 6, "painter": 3, "copier": 3}
        prefer = Counter(frozenset(truth(key, q)) for q in main if q.kind == "prefer")
        assert sorted(prefer.values()) == [2, 2, 2]
        assert set(Counter(truth(key, q)[0] for q in main if q.kind == "rate").values()) == {2}
    sides = [{frozenset(q.images): truth(key, q)[0] == "measured" for q in of if q.kind == "two"} for of in asked]
    assert all(sides[0][pair] != sides[1][pair] for pair in sides[0])  # the next rater has the other side
    first = [next(q.kind for q in questions if not q.training) for questions in asked]
    assert first == ["one", "two"]  # blocks go round


def test_repeats_come_later_with_their_sides_changed_and_training_first(made):
    _, _, review, key = made
    for rater in review.study.design.raters:
        repeats = [(k, q) for k, q in enumerate(rater.questions) if q.repeat_of is not None]
        assert Counter(q.kind for _, q in repeats) == dict.fromkeys(KINDS, 3)
        for position, question in repeats:
            before = rater.questions[question.repeat_of]
            assert question.repeat_of < position
            assert question.images == before.images[::-1]
            assert question.kind == before.kind
        assert [q.training for q in rater.questions] == [True, True] + [False] * 36
        for question in rater.questions[:2]:
            assert truth(key, question)[0] == ("measured", "generated")[question.right] or (
                question.right == 1 and truth(key, question)[0] != "measured"
            )


def test_two_reviews_of_the_same_sets_have_nothing_in_common_to_guess_by(tmp_path):
    one, two = (small_review(tmp_path / name, raters=1) for name in ("a", "b"))
    assert not set(one.study.design.images) & set(two.study.design.images)
    assert one.study.key_sha256 != two.study.key_sha256


# --- blindness ---------------------------------------------------------------------------------------------------


def test_files_give_nothing_away(made):
    folder, _, _, key = made
    files = sorted((folder / "images").iterdir())
    assert {f.stat().st_size for f in files} == {20 * 24}
    assert {f.stat().st_mtime for f in files} == {0.0}
    assert all(len(f.name) == 16 and int(f.name, 16) >= 0 for f in files)
    sets = [key.images[f.name].set for f in files]
    runs = 1 + sum(a != b for a, b in itertools.pairwise(sets))
    assert runs > len(files) / 4  # names do not sort sets together
    readable = b"".join((folder / name).read_bytes() for name in ("study.json", "key.sealed", "links.csv"))
    for word in (
        b"painter",
        b"copier",
        b"specimen 1",
        b"measured_",
        b"folder/of",
        key.seed.encode(),
        key.salt.encode(),
    ):
        assert word not in readable


def test_every_set_has_the_same_grey_levels(tmp_path):
    # One set in steps of 1, one in steps of 4: a narrow window would tell them apart.
    made = new_review(
        tmp_path / "s", measured=noise_set("measured", 12), generated={"coarse": noise_set("coarse", 12, step=4)},
        questions=8, raters=1,
    )  # fmt: skip
    levels = made.study.design.levels
    assert 45 < levels < 55
    review = OpenReview.of(tmp_path / "s")
    key = unseal(review.sealed, made.code, made.study)
    for of_set in ("measured", "coarse"):
        pixels = b"".join(review.slice_of(name, 0) for name in key.images if key.images[name].set == of_set)
        assert set(np.diff(np.unique(np.frombuffer(pixels, np.uint8)))) == {1}


def test_answers_to_requests_for_images_are_alike(client, made):
    _, _, review, key = made
    seen = {}
    for position, question in enumerate(review.study.design.raters[0].questions[:12]):
        for side, name in enumerate(question.images):
            got = client.get(f"{client.link}image/{position}/{side}/0")
            assert got.status_code == 200
            headers = {k: v for k, v in got.headers.items() if k != "date"}
            seen.setdefault(key.images[name].set, set()).add(json.dumps(headers, sort_keys=True))
            assert got.content == review.slice_of(name, 0)
        assert send_any(client, position, question).status_code == 200
    assert len(seen) > 1
    assert len({headers for of_set in seen.values() for headers in of_set}) == 1
    (headers,) = seen["measured"]
    assert "no-store" in headers
    assert "etag" not in headers
    assert "last-modified" not in headers


def test_the_browser_never_learns_a_name(client, made):
    _, _, _, key = made
    text = client.get(client.link).text + client.get(f"{client.link}state").text + send(client, 0).text
    text += client.get("/static/review.js").text
    for name in (*key.images, "painter", "copier"):
        assert name not in text
    assert "repeat" not in client.get(f"{client.link}state").text
    assert client.get(f"{client.link}image/5/0/0").status_code == 404  # not yet asked
    assert client.get(f"{client.link}image/0/0/1").status_code == 404  # no such slice


def test_the_server_does_not_start_where_it_could_read_the_key(made, study, tmp_path):
    code = tmp_path / "code"
    write_code(made[1].code, code)
    assert code.stat().st_mode & 0o077 == 0
    require_blind(study, str(tmp_path / "moved away"))
    with pytest.raises(Problem, match="could read the opening code"):
        require_blind(study, str(code))
    shutil.copy(code, study / "images" / "harmless")
    with pytest.raises(Problem, match="harmless"):
        require_blind(study, "")
    with pytest.raises(Problem, match="would not be blind"):
        server.serve(study)


def test_the_seal_holds_what_was_designed(made, study):
    _, found, review, key = made
    with pytest.raises(Problem, match="does not open"):
        unseal(review.sealed, found.code[:-3] + "AA=", review.study)
    questions = review.study.design.raters[0].questions
    other = review.study.design.raters[0].model_copy(update={"questions": questions[::-1]})
    design = review.study.design.model_copy(update={"raters": (other, review.study.design.raters[1])})
    with pytest.raises(Problem, match="changed after the key was sealed"):
        unseal(review.sealed, found.code, review.study.model_copy(update={"design": design}))
    with pytest.raises(Problem, match="not the one that was sealed"):
        unseal(review.sealed, found.code, review.study.model_copy(update={"key_sha256": "0" * 64}))
    assert key.salt.encode() in canonical(key)


# --- answers -----------------------------------------------------------------------------------------------------


def test_a_link_that_is_used_twice_at_once_gives_one_row_of_answers(client, study, made):
    assert send(client, 0, 1).json()["position"] == 1
    assert send(client, 0, 1).json()["position"] == 1  # the same attempt again: its acknowledgement may have been lost
    late = send(client, 0, 4, attempt="another-window")
    assert (late.status_code, late.json()["position"]) == (409, 1)
    assert send(client, 0, 4, attempt="third-window", again=True).status_code == 409  # of training the answer was told
    for position in (1, 2):
        send(client, position)
    assert send(client, 2, 4, attempt="it-was-a-slip", again=True).json()["position"] == 3
    assert send(client, 4, 4, attempt="from-the-future").status_code == 409
    assert send(client, 3, 4, attempt="it-was-a-slip").status_code == 422
    stored = read_answers(study, made[2].sha256)
    assert [(a.position, a.revision, a.choice) for a in stored] == [(0, 0, 1), (1, 0, 0), (2, 0, 0), (2, 1, 4)]
    assert [a.choice for a in last_of_each(stored)] == [1, 0, 4]


def test_only_the_training_round_tells_what_was_right(client, made):
    _, _, review, _ = made
    for position, question in enumerate(review.study.design.raters[0].questions[:4]):
        assert send(client, position).json()["right"] == question.right
    assert question.right is None


@pytest.mark.parametrize(
    "wrong",
    [{"choice": 6}, {"choice": None}, {"ratings": [3]}, {"seconds": -1}, {"seconds": "1"}, {"attempt": "<script>"},
     {"extra": 1}, {"position": "0"}],
)  # fmt: skip
def test_answers_that_make_no_sense_are_refused(client, wrong):
    assert client.post(
        f"{client.link}answer", json={"position": 0, "choice": 0, "seconds": 1.0, "attempt": "attempt-0"} | wrong
    ).status_code == 422  # fmt: skip


def test_answers_are_appended_and_never_changed(study, made):
    sha = made[2].sha256
    book = AnswerBook(study, sha)
    book.append([Given("Ada", k, 0, 1, (), 2.0, f"attempt-{k}") for k in range(3)])
    assert book._base.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL: a commit waits for the disk
    assert book._base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    base = sqlite3.connect(study / ANSWERS)
    for change in ("UPDATE answers SET choice = 2", "DELETE FROM answers"):
        with pytest.raises(sqlite3.IntegrityError, match="only appended"):
            base.execute(change)
    base.rollback()
    with pytest.raises(Problem, match="cannot be stored"):  # a second answer to the same question
        book.append([Given("Ada", 3, 0, 1, (), 2.0, "attempt-3"), Given("Ada", 1, 0, 1, (), 2.0, "again")])
    assert len(read_answers(study, sha)) == 3  # all of a commit, or nothing
    book.close()
    base.executescript("DROP TRIGGER no_update; UPDATE answers SET choice = 0 WHERE number = 2;")
    base.close()
    with pytest.raises(Problem, match=r"answer 2 .* is not as it was stored"):
        read_answers(study, sha)


def test_a_database_that_is_copied_while_open(study, made, tmp_path):
    sha = made[2].sha256
    book = AnswerBook(study, sha)
    book.append([Given("Ada", 0, 0, 1, (), 2.0, "attempt-0")])
    assert len(read_answers(study, sha)) == 1  # read beside the server
    for name in ("alone", "whole"):
        (tmp_path / name).mkdir()
        shutil.copy(study / ANSWERS, tmp_path / name)
    shutil.copy(study / f"{ANSWERS}-wal", tmp_path / "whole")
    with pytest.raises(Problem, match="copied while a server had it open, without its log"):
        read_answers(tmp_path / "alone", sha)
    assert len(read_answers(tmp_path / "whole", sha)) == 1
    book.close()
    (tmp_path / "closed").mkdir()
    shutil.copy(study / ANSWERS, tmp_path / "closed")
    assert len(read_answers(tmp_path / "closed", sha)) == 1
    with pytest.raises(Problem, match="another study"):
        read_answers(study, "0" * 64)
    (study / ANSWERS).write_bytes((study / ANSWERS).read_bytes()[:5000])
    with pytest.raises(Problem, match=r"damaged|not as it was"):
        read_answers(study, sha)


def test_a_clock_that_jumps_changes_no_order(study, made, monkeypatch):
    class Backwards:
        hours = 20

        @classmethod
        def now(cls, zone):
            from datetime import datetime

            cls.hours -= 1
            return datetime(2026, 1, 1, cls.hours, tzinfo=zone)

    monkeypatch.setattr("morphogen.review.answers.datetime", Backwards)
    book = AnswerBook(study, made[2].sha256)
    for k in range(3):
        book.append([Given("Ada", k, 0, k, (), 2.0, f"attempt-{k}")])
    book.close()
    stored = read_answers(study, made[2].sha256)
    assert [a.choice for a in stored] == [0, 1, 2]
    assert [a.wall for a in stored] == sorted((a.wall for a in stored), reverse=True)
    assert stored[0].monotonic <= stored[1].monotonic <= stored[2].monotonic


@contextmanager
def files_no_larger_than(limit):
    """A disk that is full, for this process: no file grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_on_a_full_disk_answers_wait_and_none_is_lost(study, made):
    told = []
    app = server.review_app(OpenReview.of(study), tell=told.append)
    with testclient.TestClient(app, base_url="http://127.0.0.1") as client:
        client.link = made[1].links["Ada"]
        client.get(client.link)
        assert send(client, 0).status_code == 200
        with files_no_larger_than((study / f"{ANSWERS}-wal").stat().st_size):
            for _ in range(2):
                refused = send(client, 1, 4)
                assert (refused.status_code, client.get(f"{client.link}state").json()["position"]) == (507, 1)
                assert "answers cannot be stored" in refused.json()["detail"]
            assert [a.choice for a in read_answers(study, made[2].sha256)] == [0]
        assert send(client, 1, 4).json()["position"] == 2  # the same attempt, once there is room
    assert len(told) == 2  # whoever serves is told, and not at every try
    assert "pages keep their answers" in told[0]
    assert told[1] == "Answers are stored again."
    assert [a.choice for a in read_answers(study, made[2].sha256)] == [0, 4]


def test_a_disk_that_is_full_when_the_server_starts_or_ends_shuts_nobody_out(study, made):
    sha = made[2].sha256
    with files_no_larger_than(4096), pytest.raises(Problem, match="cannot be written"):
        AnswerBook(study, sha)
    assert (study / ANSWERS).stat().st_size == 4096  # a database without tables
    assert read_answers(study, sha) == []
    book = AnswerBook(study, sha)
    book.append([Given("Ada", k, 0, 1, (), 2.0, f"attempt-{k}") for k in range(2)])
    with files_no_larger_than(0):
        book.close()
    assert len(read_answers(study, sha)) == 2
    book = AnswerBook(study, sha)
    book.append([Given("Ada", 2, 0, 1, (), 2.0, "attempt-2")])
    book.close()
    assert len(read_answers(study, sha)) == 3


def test_a_log_that_was_written_into_the_file_at_the_last_moment_is_not_missed(study, made):
    sha = made[2].sha256
    book = AnswerBook(study, sha)
    book.append([Given("Ada", 0, 0, 1, (), 2.0, "attempt-0")])
    # There is room for what the log holds, and none for the word that the file is closed.
    book._base.execute("CREATE TEMP TRIGGER full BEFORE INSERT ON about BEGIN SELECT RAISE(ABORT, 'full'); END")
    book.close()
    assert len(read_answers(study, sha)) == 1
    AnswerBook(study, sha).close()
    assert not (study / f"{ANSWERS}-wal").exists()


@contextmanager
def read_only(folder):
    """A folder in which nothing may be written, for this process, whoever runs it."""
    places = [folder, *folder.rglob("*")]
    above = [place for place in folder.parents if place.is_relative_to(tempfile.gettempdir())]
    modes = {place: place.stat().st_mode for place in [*places, *above]}
    root = os.geteuid() == 0
    for place in places:
        place.chmod(0o555 if place.is_dir() else 0o444)
    if root:  # who may do anything gives that up
        for place in above:
            place.chmod(place.stat().st_mode | 0o055)
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for place, mode in modes.items():
            if place.exists():
                place.chmod(mode)


def test_a_study_on_a_disk_that_is_only_read(study, made):
    _, found, review, _ = made
    pytest.importorskip("uvicorn")  # while it can be read
    with read_only(study), pytest.raises(Problem, match=r"can be stored in .*: copy it to a folder that you"):
        server.serve(study)
    book = AnswerBook(study, review.sha256)
    book.append([Given("Ada", 0, 0, 1, (), 2.0, "attempt-0")])
    shutil.copytree(study, study.with_name("killed"))
    book.close()
    with read_only(study):
        with pytest.raises(Problem, match=r"opened.json cannot be written"):  # that the key is opened is written first
            review_results(study, found.code)
        with pytest.raises(Problem, match=r"answers.sqlite cannot be written .* that the folder may be"):
            AnswerBook(study, review.sha256)
    review_results(study, found.code)
    with read_only(study):
        assert review_results(study, found.code).results.answers == 1  # as on a disk that is archived
    killed = study.with_name("killed")
    assert len(read_answers(killed, review.sha256)) == 1
    (killed / f"{ANSWERS}-shm").unlink()
    with read_only(killed), pytest.raises(Problem, match=r"its log cannot be read .*: copy the study"):
        read_answers(killed, review.sha256)


def test_a_killed_server_loses_nothing_that_it_acknowledged(study, made):
    link = made[1].links["Ada"]
    process, port = started(study)
    acknowledged = []
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            client.get(link)
            client.link = link
            for position in range(8):
                assert send(client, position, position % 6).status_code == 200
                acknowledged.append((position, position % 6))
            with pytest.raises(Problem, match="another server is serving"):
                require_one_server(study)
            process.kill()
            process.wait()
            assert (study / f"{ANSWERS}-wal").exists()
            assert [(a.position, a.choice) for a in read_answers(study, made[2].sha256)] == acknowledged
            process, _ = started(study, port)
            assert client.get(f"{link}state").json()["position"] == 8  # it goes on there, with the page as it was
            assert send(client, 7, 1).status_code == 200  # sent anew, since the acknowledgement might have been lost
            assert send(client, 8, 5).status_code == 200
    finally:
        process.terminate()
        assert process.wait(20) is not None
    assert [(a.position, a.choice) for a in read_answers(study, made[2].sha256)] == [*acknowledged, (8, 5)]


# --- safety ------------------------------------------------------------------------------------------------------


def test_answers_are_taken_from_the_own_page_alone(client):
    path, body = f"{client.link}answer", {"position": 0, "choice": 0, "seconds": 1.0, "attempt": "attempt-0"}
    assert client.post(path, json=body, headers={"Origin": "http://elsewhere"}).status_code == 403
    assert client.post(path, json=body, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.post(path, content=json.dumps(body), headers={"Content-Type": "text/plain"}).status_code == 422
    assert client.get(path).status_code == 405
    assert client.post(path, json=body | {"attempt": "a" * 40_000}).status_code == 413
    client.cookies.clear()
    assert client.post(path, json=body).status_code == 403
    assert client.get("/r/guessed/state").status_code == client.get("/r/guessed/image/0/0/0").status_code == 404
    assert client.get("/openapi.json").status_code == client.get("/docs").status_code == 404
    assert client.get("/static/..%2fserver.py").status_code == 404


def test_the_page_runs_nothing_inline_and_asks_nobody_else(client):
    page = client.get(client.link)
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "SameSite=strict" in page.headers["set-cookie"]
    assert "HttpOnly" in page.headers["set-cookie"]
    text = page.text + client.get("/static/review.js").text + client.get("/static/review.css").text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "<script>" not in page.text
    assert " style=" not in page.text
    assert " onclick" not in page.text


def test_other_addresses_need_a_token_and_the_name_of_the_server_is_checked(study):
    for beyond in ({"host": "0.0.0.0"}, {"host": "0.0.0.0", "token": "short"}, {"address": "https://review.example"}):
        with pytest.raises(Problem, match="can be reached by other machines"):
            server.serve(study, **beyond)
    review = OpenReview.of(study)
    link = review.links()["Ada"]
    guard = Guard(server.review_app(review), None, "a-token-of-the-server")
    with testclient.TestClient(guard) as client:
        assert client.get(link).status_code == 404
        assert client.get(f"/a-token-of-the-serveR{link}").status_code == 404
        client.link = f"/a-token-of-the-server{link}"
        assert client.get(client.link).status_code == 200
        assert client.get("/a-token-of-the-server/static/review.js").status_code == 200
        assert send(client, 0).status_code == 200
    proxied = server.review_app(review, "https://review.example")
    with testclient.TestClient(proxied, base_url="http://127.0.0.1:8765") as client:
        client.link = link
        client.get(link)
        for origin, status in (("https://review.example", 200), ("https://elsewhere.example", 403)):
            client.headers["Origin"] = origin
            assert send(client, 1).status_code == status
    guard = Guard(server.review_app(review), frozenset({"127.0.0.1"}), "")
    with testclient.TestClient(guard, base_url="http://127.0.0.1:8765") as client:
        assert client.get(link).status_code == 200
        assert client.get(link, headers={"Host": "rebound.example:8765"}).status_code == 421


def test_a_fuzz_from_the_own_description_finds_no_fault(study, made):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    hypothesis = pytest.importorskip("hypothesis")
    app = server.review_app(OpenReview.of(study))
    with testclient.TestClient(app, base_url="http://127.0.0.1") as client:
        token = made[1].links["Ada"].split("/")[2]
        client.get(made[1].links["Ada"])
        schema = schemathesis.openapi.from_dict(app.openapi())
        statuses = Counter()
        for operation in (result.ok() for result in schema.get_all_operations()):
            strategy = operation.as_strategy()

            @hypothesis.given(case=strategy, real=hypothesis.strategies.booleans())
            @hypothesis.settings(max_examples=12, database=None, deadline=None, derandomize=True,
                                 suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
            def asked(case, real):
                if real:
                    case.path_parameters["token"] = token
                sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
                found = client.request(**{k: v for k, v in sent.items() if k in ("method", "url", "json", "headers")})
                statuses[found.status_code] += 1
                assert found.status_code < 500, (sent, found.text)

            asked()
    assert sum(statuses.values()) > 30
    assert statuses[200]


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"generated": {}}, "one class"),
        ({"kinds": ("prefer",)}, "two of them"),
        ({"kinds": ("rate",), "training": 2}, "training round"),
        ({"questions": 90}, "45 images of measured are needed"),
        ({"generated": {"measured": noise_set("other", 9)}}, "another name"),
        ({"generated": {"same": noise_set("measured", 20)}}, "share an image"),
        ({"generated": {"deep": noise_set("deep", 9, dtype="uint16")}}, "uint16"),
        ({"generated": {"colour": noise_set("colour", 9, channels=3)}}, "read both in grey"),
        ({"raters": ["Ada", "Ada"]}, "name of his own"),
        ({"slices": 4}, "consecutive slices"),
    ],
)
def test_what_cannot_be_blind_or_has_no_answer_is_refused_in_a_line(tmp_path, change, says):
    given = {"measured": noise_set("measured", 20), "generated": {"painter": noise_set("painter", 20)}, "questions": 8}
    with pytest.raises(Problem, match=says):
        new_review(tmp_path / "s", **(given | change))
    assert not (tmp_path / "s").exists()


def test_pixels_of_another_size_are_refused(tmp_path):
    finer = Pictures([replace(p, spacing_um=(1.0, 1.0)) for p in noise_set("painter", 20)], "painter")
    with pytest.raises(Problem, match="a pixel of measured measures 2 x 2 um and one of painter 1 x 1 um"):
        new_review(tmp_path / "s", measured=noise_set("measured", 20), generated={"painter": finer}, questions=8)


def test_an_image_that_changed_since_the_sealing_is_refused(study):
    file = next((study / "images").iterdir())
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    with pytest.raises(Problem, match=f"the image {file.name} .* changed since the study was sealed"):
        server.serve(study)


def test_volumes_are_shown_by_slice(tmp_path):
    def volumes(name, count):
        flat = noise_set(name, 3 * count)
        return Pictures(
            [replace(p, origin=replace(p.origin, specimen=f"{name}{k // 3}", source=f"{name}{k // 3}.tif", slice=k % 3))
             for k, p in enumerate(flat)], name,
        )  # fmt: skip

    made = new_review(tmp_path / "s", measured=volumes("measured", 6), generated={"painter": volumes("painter", 6)},
                      questions=6, raters=1, slices=3)  # fmt: skip
    review = OpenReview.of(tmp_path / "s")
    key = unseal(review.sealed, made.code, made.study)
    assert made.study.design.shape == (3, 20, 24, 1)
    low, high = made.study.design.grey_range
    for name, source in key.images.items():
        assert source.slice == 0
        whole = volumes(source.set, 6)
        slices = [p for p in whole if p.origin.source == source.source]
        for k in range(3):
            level = np.frombuffer(review.slice_of(name, k), np.uint8).reshape(20, 24)
            assert np.array_equal(level, np.clip(slices[k].pixels[0].astype(int), low, high) - low)


# --- results -----------------------------------------------------------------------------------------------------


def test_results_know_what_was_answered_and_stand_beside_the_metrics(study, made, tmp_path):
    _, found, _, key = made
    with pytest.raises(Problem, match="nobody has answered"):
        review_results(study, found.code)
    answer_all(study, key, SENSITIVITY)
    told = review_results(study, found.code)
    results = told.results
    by_name = {(t.kind, t.compared): t for t in results.tellings}
    for (kind, name), entry in by_name.items():
        mine = [x for x in told.looks if x.question.kind == kind and x.question.repeat_of is None
                and not x.question.training
                and (name in ("all", *x.sets) or (kind == "one" and x.measured_first))]  # fmt: skip
        assert (entry.answers, entry.right) == (len(mine), sum(x.right for x in mine))
        assert entry.exact.low < entry.right / entry.answers < entry.exact.high or entry.right == entry.answers
    assert by_name["one", "all"].answers == 12
    assert by_name["two", "copier"].d_prime.value > by_name["two", "painter"].d_prime.value
    assert [a.name for a in results.abilities][-1] == "copier"
    assert {c.kind: c.of for c in results.consistencies} == dict.fromkeys(KINDS, 6)
    assert all(r.answered == r.asked == 38 for r in results.raters)
    assert results.after_opening == 0
    page = write_results(told, tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert results.key_sha256 in text
    assert "copier" in text
    assert len((tmp_path / "out" / "answers.csv").read_text().splitlines()) == 1 + 76
    once = with_section("<main><p>metrics</p></main>", "<section>first</section>")
    assert with_section(once, "<section>second</section>").count("<section>") == 1
    assert "metrics" in once


def score(method, value, metric="kernel distance", **more):
    near = Estimate(value=value, low=value - 0.1, high=value + 0.1, n_measured=40, n_generated=40)
    return Score(metric=metric, features="VGG16", extractor="x", compared=method, role="generated", estimate=near,
                 floor=near, ratio_to_floor=value, **({"higher_is_better": False} | more))  # fmt: skip


def test_metrics_are_held_against_people_over_the_methods(tmp_path):
    sensitivity = {"measured": 0.0, "painter": 0.3, "copier": 1.5, "sketcher": 3.5, "criterion": 0.8}
    made = small_review(
        tmp_path / "study", methods=("painter", "copier", "sketcher"), questions=30, raters=["Ada", "Ben", "Cy"]
    )
    review = OpenReview.of(tmp_path / "study")
    key = unseal(review.sealed, made.code, review.study)
    answer_all(tmp_path / "study", key, sensitivity)
    methods = ["painter", "copier", "sketcher"]
    given = [score(m, v) for m, v in zip(methods, (0.2, 0.5, 0.9), strict=True)]
    given += [score(m, v, "precision", higher_is_better=True) for m, v in zip(methods, (0.2, 0.5, 0.9), strict=True)]
    given += [score(m, 1.0, "FID", trained_through=True) for m in methods]
    found = Comparison(
        specimen="rock", measured_fingerprint="m", field_px=(20, 24), spacing_um=(2.0, 2.0), segmentation="", phase="",
        fingerprints={name: key.sets[name].fields_fingerprint for name in methods}, interval_unit="field",
        scores=tuple(given), readings=(), curves=(), diversities=(),
    )  # fmt: skip
    of_rock = SpecimenRecord(
        name="rock", kind="rock", about="", images="", training_fields_independent=1, held_out_fields_independent=1,
        crop_px=(20, 24), spacing_um=(2.0, 2.0), split="", comparison=found, methods=(),
    )  # fmt: skip
    study = StudyRecord(title="", created="2026-01-01", morphogen="", recipe={}, command="", machine="", budget="",
                        seconds_total=1, specimens=(of_rock,))  # fmt: skip
    evidence = tmp_path / "evidence"
    evidence.mkdir()
    (evidence / "study.json").write_text(study.to_json())
    (evidence / "index.html").write_text("<main><p>metrics</p></main>")
    told = review_results(tmp_path / "study", made.code, evidence=read_evidence(evidence))
    by_metric = {c.metric: (c.rho, c.methods) for c in told.results.correlations}
    assert by_metric["kernel distance (VGG16)"] == (1.0, 3)
    assert by_metric["precision (VGG16), reversed"] == (-1.0, 3)
    assert "FID (VGG16)" not in by_metric  # the methods were trained to please it
    assert not [note for note in told.results.notes if "other fields" in note]
    for turn in ("first", "second"):
        write_results(told, tmp_path / turn, evidence)
    page = (evidence / "index.html").read_text(encoding="utf-8")
    assert page.count('id="review"') == 1
    assert page.index("metrics") < page.index("kernel distance (VGG16)")
    other = found.model_copy(update={"fingerprints": {"painter": "another"}})
    told = review_results(tmp_path / "study", made.code, evidence=[other])
    assert any("The metrics of painter are over other fields" in note for note in told.results.notes)
    with pytest.raises(Problem, match="knows none of the methods"):
        review_results(tmp_path / "study", made.code, evidence=[found.model_copy(update={"fingerprints": {"x": "y"}})])


def test_the_whole_way_on_the_command_line(tmp_path, capsys):
    def ask(*words):
        cli.main(["review", *map(str, words)], standalone_mode=False)
        return capsys.readouterr().out

    for name in ("measured", "painter"):
        write_images(noise_set(name, 12), tmp_path / name)
    folder, code = tmp_path / "study", tmp_path / "rock.key"
    made = ("new", "--measured", tmp_path / "measured", "--generated", tmp_path / "painter", "--questions", 6, "--out")
    with pytest.raises(Problem, match="lies in the study folder"):
        ask(*made, folder, "--key", folder / "rock.key")
    told = ask(*made, folder, "--key", code, "--rater", "Ada", "--rater", "Ben")
    review = OpenReview.of(folder)
    assert f"SHA-256 {review.study.key_sha256}" in told
    assert "2 raters, 7 questions each" in told
    with pytest.raises(Problem, match="the server could read the opening code"):
        ask("serve", folder)
    shown = ask(*made, tmp_path / "other", "--key", "-", "--raters", 1)
    assert unseal(
        (tmp_path / "other/key.sealed").read_text(),
        shown.splitlines()[1].strip(),
        OpenReview.of(tmp_path / "other").study,
    )
    answer_all(folder, unseal(review.sealed, read_code(code), review.study), SENSITIVITY)
    told = ask("results", folder, "--key", code, "--out", tmp_path / "found")
    assert "2 raters gave 14 answers" in told
    assert (tmp_path / "found" / "index.html").is_file()


def test_measured_images_that_a_method_was_trained_on_are_no_measure_of_it(tmp_path, capsys):
    # Written and read, as a person has them: the sets say by themselves what they were trained on.
    for name in ("training", "held_out"):
        write_images(noise_set(f"measured {name}", 12), tmp_path / name)
    seen = read_images(tmp_path / "training").fingerprint
    made = noise_set("painter", 12)
    write_images(Pictures([replace(p, labels={TRAINED_ON: seen}) for p in made], "painter"), tmp_path / "painter")
    for measured, warned in (("training", True), ("held_out", False)):
        words = ["new", "--measured", tmp_path / measured, "--generated", tmp_path / "painter", "--questions", 6]
        words += ["--out", tmp_path / f"of {measured}", "--key", tmp_path / f"{measured}.key", "--raters", 1]
        cli.main(["review", *map(str, words)], standalone_mode=False)
        told = capsys.readouterr().err.splitlines()
        assert told == [
            "Note: painter was trained on the measured images that are shown, and copies of them would win: show those"
            f" in {tmp_path / 'held_out'}"
        ] * warned  # fmt: skip
        review = OpenReview.of(tmp_path / f"of {measured}")
        code = read_code(tmp_path / f"{measured}.key")
        assert "painter" not in review.study.model_dump_json()  # the warning is no clue for raters
        answer_all(review.folder, unseal(review.sealed, code, review.study), SENSITIVITY)
        notes = review_results(review.folder, code).results.notes
        assert any("copies would win" in note for note in notes) == warned


def test_answers_after_the_key_was_opened_are_counted_apart(study, made):
    _, found, review, _ = made
    book = AnswerBook(study, review.sha256)
    book.append([Given("Ada", k, 0, 1, (), 2.0, f"attempt-{k}") for k in range(4)])
    assert review_results(study, found.code).results.after_opening == 0
    book.append([Given("Ada", 4, 0, 1, (), 2.0, "attempt-4")])
    book.close()
    later = review_results(study, found.code).results
    assert (later.answers, later.after_opening) == (5, 1)
