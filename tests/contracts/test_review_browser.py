"""The page of a review as a rater meets it: by mouse, by keyboard alone, on a tablet, and when the server is killed."""

from morphogen.review.answers import read_answers
from morphogen.review.folder import OpenReview
from small_review import small_review, started

PINCH = """() => {
  const canvas = document.querySelector("canvas"), box = canvas.getBoundingClientRect();
  const touch = (name, id, x) => canvas.dispatchEvent(new PointerEvent(name, {
    pointerId: id, pointerType: "touch", clientX: box.left + x, clientY: box.top + 200, bubbles: true, buttons: 1 }));
  touch("pointerdown", 11, 100); touch("pointerdown", 12, 200);
  touch("pointermove", 12, 320); touch("pointerup", 11, 100); touch("pointerup", 12, 320);
}"""


OUTSIDE = """() => [...document.querySelectorAll("header, #ask, .view, #answers, #answers button, #tools > *, #status")]
  .filter((e) => {
    const box = e.getBoundingClientRect(), scrolls = e.closest(".rating #answers") && e.id !== "send";
    const above = box.top < 0 || box.bottom > innerHeight;
    return box.width && (box.left < 0 || box.right > innerWidth || (above && !scrolls));
  }).map((e) => e.id || e.textContent)"""


def pixels(page):
    """What the canvas shows."""
    return page.evaluate("document.querySelector('canvas').toDataURL()")


def answered(page):
    return int(page.locator("#count").inner_text().split()[0])


def wait_for(page, count):
    page.wait_for_function("n => document.querySelector('#count').innerText.startsWith(n + ' of')", arg=count)


def test_a_rater_goes_through_a_study(browser, tmp_path):
    made = small_review(
        tmp_path / "study", raters=["Ada"], kinds=("one", "two", "rate"), questions=2, repeats=0, training=1
    )
    server, port = started(tmp_path / "study")
    link = f"http://127.0.0.1:{port}{made.links['Ada']}"
    faults = []
    try:
        desk = browser.new_context(viewport={"width": 1280, "height": 800})
        page = desk.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        asked = []
        page.on("request", lambda request: asked.append(request.url.rsplit("/image/", 1)[-1]))
        page.goto(link)
        assert made.study.key_sha256 in page.content()

        # By keyboard alone: begin, the training round tells what was right, go on.
        page.wait_for_selector("#begin:focus")
        page.keyboard.press("Enter")
        page.wait_for_selector("#ask:has-text('training')")
        right = made.study.design.raters[0].questions[0].right
        page.keyboard.press("6" if right else "1")
        page.wait_for_selector(".told b.good")
        page.keyboard.press("Enter")
        page.wait_for_selector("#ask:not(:has-text('training'))")

        # The next question is there before this one is answered.
        assert any(url.startswith("2/") for url in asked)

        # Zoom by wheel, place by drag, window by key, and the whole image again.
        box = page.locator("canvas").first.bounding_box()
        before, bar = pixels(page), page.locator(".scale").inner_text()
        page.mouse.move(box["x"] + 300, box["y"] + 200)
        page.mouse.wheel(0, -900)
        zoomed = pixels(page)
        assert zoomed != before
        assert page.locator(".scale").inner_text() != bar
        assert bar.endswith("µm")
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 150)
        page.mouse.up()
        moved = pixels(page)
        assert moved != zoomed
        page.keyboard.press("d")
        assert pixels(page) != moved
        page.keyboard.press("r")
        assert pixels(page) == before

        # By mouse, a slip taken back, a pause.
        page.get_by_role("button", name="a guess 3").click()
        wait_for(page, 2)
        page.locator("#back").click()
        page.wait_for_selector("#back:disabled")
        page.keyboard.press("5")
        page.keyboard.press("p")  # while the answer is on its way
        assert page.locator("#paused").is_visible()
        page.wait_for_selector("#back:not(:disabled)", state="attached")  # the next question is there, and not shown
        assert not page.locator("canvas").first.is_visible()

        # On another machine, a tablet in the dark: it goes on there.
        tablet = browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True, color_scheme="dark")
        other = tablet.new_page()
        other.goto(link)
        other.wait_for_selector("#question:not([hidden])")
        assert answered(other) == 2
        assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert other.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
        before = pixels(other)
        other.evaluate(PINCH)
        assert pixels(other) != before
        other.get_by_role("button", name="probably 5").tap()
        wait_for(other, 3)

        # The first window still shows the question that was answered on the tablet.
        page.locator("#resume").click()
        page.keyboard.press("1")
        page.wait_for_selector("#status:has-text('another window')")
        assert answered(page) == 3

        # The server is killed while an answer is on its way: the page says so, and sends it when the server is back.
        server.kill()
        server.wait()
        page.keyboard.press("2")
        page.wait_for_selector("#status.trouble:has-text('Not stored yet')")
        server, _ = started(tmp_path / "study", port)
        wait_for(page, 4)
        page.wait_for_selector("#answers button:not(:disabled)")  # its images were asked for while nobody served them
        page.keyboard.press("2")
        wait_for(page, 5)

        # Ratings by keyboard, one of them "cannot say".
        for count in (6, 7):
            page.wait_for_selector("#send")
            for key in "12304":
                page.keyboard.press(key)
            page.keyboard.press("Enter")
            if count == 6:
                wait_for(page, count)
        page.wait_for_selector("#done:not([hidden])")
    finally:
        server.terminate()
        server.wait()
    stored = read_answers(tmp_path / "study", OpenReview.of(tmp_path / "study").sha256)
    assert [(a.position, a.revision, a.choice) for a in stored] == [
        (0, 0, 5 if right else 0), (1, 0, 2), (1, 1, 4), (2, 0, 4), (3, 0, 1), (4, 0, 1), (5, 0, None), (6, 0, None),
    ]  # fmt: skip
    assert [a.ratings for a in stored[-2:]] == [(1, 2, 3, None, 4)] * 2
    assert all(a.seconds >= 0 for a in stored)
    assert [fault for fault in faults if "ERR_CONNECTION" not in fault and "409" not in fault] == []


def test_every_kind_of_question_fits_a_phone_and_a_tablet(browser, tmp_path):
    kinds = ("one", "two", "prefer", "rate")
    made = small_review(tmp_path / "study", raters=["Ada"], kinds=kinds, questions=2, repeats=0, training=1)
    server, port = started(tmp_path / "study")
    try:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(f"http://127.0.0.1:{port}{made.links['Ada']}")
        assert page.evaluate("document.querySelector('#intro').scrollTop") == 0
        page.click("#begin")
        page.wait_for_selector("#question:not([hidden])")
        seen = set()
        while True:
            kind = page.evaluate("question.kind")
            for width, height in ((390, 844), (844, 390), (820, 1180)) if kind not in seen else ():
                page.set_viewport_size({"width": width, "height": height})
                place = f"{kind} at {width} x {height}"
                assert page.evaluate(OUTSIDE) == [], place
                assert page.evaluate("Math.min(...[...document.querySelectorAll('canvas')].map("
                                     "c => Math.min(c.clientWidth, c.clientHeight)))") >= 110, place  # fmt: skip
                if kind in ("two", "prefer"):
                    assert page.locator(".side").first.inner_text() == ("Upper" if width < 620 else "Left")
                if kind == "rate":  # what is to be rated next is seen, above the button that sends
                    page.keyboard.press("3")
                    current, send = (page.locator(name).bounding_box() for name in ("fieldset.current", "#send"))
                    assert current["y"] + current["height"] <= send["y"] + 1, place
            seen.add(kind)
            if kind == "rate":
                break
            before = page.locator("#ask").inner_text()
            page.keyboard.press("1")
            if page.evaluate("question.training"):
                page.locator("#on").click()
            page.wait_for_function("b => document.querySelector('#ask').innerText !== b", arg=before)
        assert seen == set(kinds)
        page.close()
    finally:
        server.terminate()
        server.wait()


def test_the_next_image_does_not_wait_for_the_disk_and_no_answer_is_lost_for_that(browser, tmp_path):
    made = small_review(tmp_path / "study", raters=["Ada"], questions=4, repeats=0)
    server, port = started(tmp_path / "study")
    try:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        dialogs = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.type), dialog.dismiss()))
        held = []
        page.route("**/state", lambda route: held.append(route))
        page.goto(f"http://127.0.0.1:{port}{made.links['Ada']}")
        page.click("#begin")  # before the page knows where it is
        with page.expect_response("**/image/1/0/0"):
            held[0].continue_()
        first = pixels(page)
        page.route("**/answer", lambda route: route.fulfill(status=507, json={"detail": "full"}))
        page.keyboard.press("3")
        page.wait_for_selector("#ask:has-text('2 of 4')")
        assert pixels(page) != first
        assert answered(page) == 0  # what is counted is on the disk
        assert page.locator("#back").is_disabled()
        page.wait_for_selector("#status.trouble:has-text('cannot write to its disk')")
        page.evaluate("location.reload()")  # who leaves now is asked whether he wants to
        assert dialogs == ["beforeunload"]
        page.keyboard.press("p")
        assert "stored" not in page.locator("#paused").inner_text()
        page.locator("#resume").click()

        # The next answer is held until the one before is stored; a second press and a held key change nothing.
        page.unroute("**/answer")
        page.route("**/answer", lambda route: route.abort())
        page.keyboard.press("5")
        page.keyboard.press("1")
        page.wait_for_selector("#status.trouble:has-text('does not answer')")
        assert page.locator("#ask").inner_text().endswith("2 of 4")
        page.unroute("**/answer")
        wait_for(page, 2)
        page.wait_for_selector("#ask:has-text('3 of 4')")
        assert page.locator("#status").inner_text() == ""
        page.get_by_role("button", name="surely 6").dblclick()  # one answer, though the same button comes again there
        wait_for(page, 3)
        page.keyboard.press("2")
        page.wait_for_selector("#done:not([hidden])")  # says that all are stored, and waits for that
        assert answered(page) == 4
        page.close()
    finally:
        server.terminate()
        server.wait()
    stored = read_answers(tmp_path / "study", OpenReview.of(tmp_path / "study").sha256)
    assert [(a.position, a.choice) for a in stored] == [(0, 2), (1, 4), (2, 5), (3, 1)]
