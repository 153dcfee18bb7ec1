"""How long a rater waits between an answer and the next image (`python benchmarks/review_page.py`).

A study of noise is served, and headless Chromium answers it by keyboard, looking at each image for a second. Told are
the times from the key's own time stamp to the end of the frame that painted the next image, by the browser's clock, and
from opening the link to the first image. `--slow 300` holds every answer back for so many milliseconds, as a busy disk
or a far server does; `--load 4` has so many processes count beside it. No networks, no training.

Needs playwright and a Chromium.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Route, sync_playwright
from review_load import started
from rich.console import Console
from rich.table import Table

from morphogen.images.image_set import Pictures
from morphogen.images.picture import Origin, Picture
from morphogen.review.making import new_review

TIMING = """
window.waited = [];
let pressed = null;
addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => {
    const since = pressed ?? 0;  // of the first image: since the page was asked for
    const frame = new MessageChannel();
    frame.port1.onmessage = () => window.waited.push(performance.now() - since);
    requestAnimationFrame(() => frame.port2.postMessage(null));  // comes after that frame was painted
  }).observe(document.querySelector("#ask"), { childList: true });
});
"""


def study(folder: Path, questions: int, size: int) -> str:
    """A study of noise with 16 bit, and the link of its one rater."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 4096, (1, size, size)).astype(np.uint16) for _ in range(questions + 2)]
    sets = [
        Pictures([Picture(pixels, (1.0, 1.0), Origin(f"s{k}")) for k, pixels in enumerate(images[start::2])], name)
        for start, name in enumerate(("measured", "generated"))
    ]
    made = new_review(folder, measured=sets[0], generated={"noise": sets[1]}, raters=["Ada"], questions=questions,
                      repeats=0)  # fmt: skip
    return made.links["Ada"]


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but count."""
    counting = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in counting:
            process.kill()
            process.wait()


def waits(browser: Browser, link: str, questions: int, slow: float, look: float) -> tuple[float, list[float]]:
    """Milliseconds to the first image, and to each that followed an answer."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})

    def late(route: Route) -> None:
        time.sleep(slow / 1000)
        route.continue_()

    if slow:
        page.route("**/answer", late)
    page.add_init_script(TIMING)
    page.goto(link)
    page.evaluate("waited.length = 0; document.querySelector('#begin').click()")
    page.wait_for_function("() => waited.length === 1")
    first = page.evaluate("waited[0]")
    for count in range(1, questions):
        page.wait_for_timeout(1000 * look)
        page.keyboard.press("3")
        page.wait_for_function("n => waited.length > n", arg=count)
    found = page.evaluate("waited")
    page.wait_for_timeout(1000 * look)
    page.keyboard.press("3")
    page.wait_for_selector("#done:not([hidden])")
    page.close()
    return first, found[1:]


def main() -> None:
    """Print one table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--questions", type=int, default=20)
    options.add_argument("--size", type=int, default=256, help="height and width of the images in pixels")
    options.add_argument("--look", type=float, default=1.0, help="seconds that each image is looked at")
    options.add_argument("--slow", type=float, default=0.0, help="milliseconds that each answer is held back")
    options.add_argument("--load", type=int, default=0, help="processes that count beside it")
    given = options.parse_args()
    found = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as place, sync_playwright() as driver, busy(given.load):
        link = study(Path(place) / "study", given.questions, given.size)
        server, port = started(Path(place) / "study")
        try:
            browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
            first, next_ones = waits(browser, f"http://127.0.0.1:{port}{link}", given.questions, given.slow, given.look)
            browser.close()
        finally:
            server.terminate()
            server.wait()
    table = Table(title=f"{len(next_ones)} images of {given.size} x {given.size}, answers held back {given.slow:g} ms")
    table.add_column("")
    table.add_column("ms", justify="right")
    for name, value in (("first image, from opening the link", first),
                        ("next image, median", float(np.median(next_ones))),
                        ("next image, 95 %", float(np.quantile(next_ones, 0.95))),
                        ("next image, longest", max(next_ones))):  # fmt: skip
        table.add_row(name, f"{value:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
