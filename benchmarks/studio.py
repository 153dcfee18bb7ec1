"""How soon the studio shows something, and a picture of it.

    python benchmarks/studio.py                                  # seconds to the first picture, in headless Chromium
    python benchmarks/studio.py --figure docs/figures/studio.png # and the page train, at work

Needs playwright and Chromium. It makes a set of 64 phantoms in 16 bit, opens the page look in a fresh browser, as often
as asked, and prints the time from the request of the page to the first tile that can be seen; then the time that a
picture of 1024 x 1024 takes with another window of grey levels.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from morphogen.images.folders import write_images
from morphogen.phantoms.phantom import image_set, phantoms

FIRST = "() => [...document.querySelectorAll('#sheet img')].some(i => i.complete && i.naturalWidth > 0)"


def main() -> None:
    """Measure, and draw where it is asked."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--times", type=int, default=7)
    asked.add_argument("--figure", type=Path)
    asked.add_argument("--seconds", type=float, default=120, help="budget of the training in the figure")
    given = asked.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "workspace"
        write_images(image_set(phantoms("rock", count=64, size=(256, 256), dtype="uint16")), folder / "sets" / "rock")
        large = image_set(phantoms("rock", count=1, size=(1024, 1024), dtype="uint16"))
        write_images(large, folder / "sets" / "large")
        command = [sys.executable, "-u", "-m", "morphogen", "studio", str(folder), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = next(m.group() for line in server.stdout if (m := re.search(r"http://\S+/", line)))
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                seconds = []
                for _ in range(given.times):
                    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
                    started = time.perf_counter()
                    page.goto(f"{address}look?set=sets/rock", wait_until="commit")
                    page.wait_for_function(FIRST)
                    seconds.append(time.perf_counter() - started)
                    page.context.close()
                print(f"first picture after {statistics.median(seconds):.2f} s (median of {given.times},"
                      f" at most {max(seconds):.2f} s)")  # fmt: skip
                page = browser.new_context().new_page()
                page.goto(f"{address}look")
                took = [_seconds_for(page, f"api/picture?name=sets/large&low={k}&high=60000") for k in range(20)]
                print(f"1024 x 1024 in 16 bit with another window after {1000 * statistics.median(took):.0f} ms")
                if given.figure is not None:
                    _draw(browser.new_context(viewport={"width": 1280, "height": 900}).new_page(), address, given)
        finally:
            server.terminate()
            server.wait()


def _seconds_for(page: Page, path: str) -> float:
    """Until a picture is there."""
    return float(page.evaluate(
        "async path => { const start = performance.now(); await (await fetch(path)).blob();"
        " return (performance.now() - start) / 1000; }", path,
    ))  # fmt: skip


def _draw(page: Page, address: str, given: argparse.Namespace) -> None:
    """The page train in the middle of a training."""
    page.set_default_timeout(600_000)
    page.goto(f"{address}train?set=sets/rock")
    page.locator("input[value='ddpm']").check()
    page.locator("#budget").fill(f"{given.seconds:g}")
    page.locator("#budget-unit").select_option("1")
    page.locator("#specimen").select_option("rock")
    page.wait_for_function("() => document.querySelector('#command').innerText.includes('--specimen rock')")
    page.locator("#start").click()
    page.wait_for_function("() => +document.querySelector('#when').max >= 15")
    page.screenshot(path=given.figure)
    page.locator("#stop").click()
    page.wait_for_function("() => document.querySelector('#state .stopped')")


if __name__ == "__main__":
    main()
