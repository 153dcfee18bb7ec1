"""The studio as a person meets it: send a set, look at it, train on it, stop, go on, and a server that is restarted."""

import re

import numpy as np
import pytest
import tifffile

from small_studio import know_methods, started

pytest.importorskip("fastapi", reason="the studio is served by FastAPI")

PATIENCE = 120_000
SHOWN = "() => [...document.querySelectorAll('#sheet img')].filter(i => i.complete && i.naturalWidth > 0).length"
GLASS = "() => document.querySelector('.viewer .glass img').style.transform"


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("scans"), np.random.default_rng(0)
    for k in range(5):
        smooth = random.random((40, 48)).cumsum(0).cumsum(1) % 3 / 3
        tifffile.imwrite(folder / f"grains_{k}.tif", (60_000 * smooth).astype(np.uint16),
                         resolution=(5000, 5000), resolutionunit="CENTIMETER")  # fmt: skip
    return sorted(folder.iterdir())


def until(page, script, arg=None):
    return page.wait_for_function(script, arg=arg, timeout=PATIENCE)


def test_a_person_looks_and_trains(browser, scans, tmp_path):
    folder, faults = tmp_path / "workspace", []
    know_methods(folder)
    server, address = started(folder)
    try:
        desk = browser.new_context(viewport={"width": 1280, "height": 900})
        desk.set_default_timeout(PATIENCE)
        page = desk.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)

        # A set is sent; a file that is none of its kind is told of in a line, and nothing is left of it.
        page.goto(address)
        page.locator("#add-first").click()
        (tmp_path / "broken_0.png").write_bytes(b"no image")
        page.locator("#files").set_input_files(tmp_path / "broken_0.png")
        page.locator("#send").click()
        until(page, "() => document.querySelector('#trouble').innerText.includes('broken_0.png')")
        page.locator("#files").set_input_files(scans)
        page.locator("#name").fill("grains")
        page.locator("#send").click()
        until(page, f"() => ({SHOWN})() === 5")
        facts = page.locator("#facts").inner_text()
        assert "40 × 48 pixels" in facts
        assert "uint16 grey" in facts
        assert "2 µm a pixel" in facts
        assert "80 µm × 96 µm" in facts
        until(page, "() => document.querySelector('#histogram svg').textContent.includes('grey level (uint16)')")

        # One picture large: window, zoom, the next one, all by the keyboard.
        page.locator("#sheet button").nth(1).focus()
        page.keyboard.press("Enter")
        until(page, "() => document.querySelector('#large-facts').innerText.includes('grains_1.tif')")
        assert page.locator(".viewer .bar").inner_text().endswith("µm")
        before = page.evaluate(GLASS)
        page.keyboard.press("+")
        assert page.evaluate(GLASS) != before
        page.keyboard.press(".")
        until(page, "() => document.querySelector('#large-facts').innerText.includes('grains_2.tif')")
        shown = page.locator(".viewer .glass img").get_attribute("src")
        page.locator(".viewer input[aria-label='White at']").focus()
        page.keyboard.press("ArrowLeft")
        until(page, "src => document.querySelector('.viewer .glass img').getAttribute('src') !== src", shown)
        page.keyboard.press("Escape")

        # Train on it. The command is what is started.
        page.locator("nav a", has_text="Train").click()
        page.locator("input[value='vae']").check()
        page.locator("details summary").click()
        for name, value in (("channels", "[8, 16]"), ("latent_dimensions", "4"), ("batch_size", "4")):
            page.locator(f"#settings input[name='{name}']").fill(value)
        page.locator("#budget").fill("40")
        page.locator("#budget-unit").select_option("1")
        page.locator("#height").fill("16")
        page.locator("#width").fill("32")
        page.locator("#name").fill("first")
        until(page, "() => document.querySelector('#command').innerText.includes('--out runs/first --seconds 40')")
        page.locator("#start").click()
        until(page, "() => document.querySelector('#curves svg .line')")

        # The server goes, the training does not; the page finds both again.
        server.terminate()
        server.wait()
        server, _ = started(folder, int(re.search(r":(\d+)/", address).group(1)))
        until(page, "() => document.querySelector('#sample').naturalWidth > 0")
        assert page.locator("#state").inner_text() == "running"
        page.locator("#stop").click()
        until(page, "() => document.querySelector('#state .stopped')")
        assert (folder / "runs" / "first" / "state.safetensors").exists()

        # And goes on, in another window, on a tablet in the dark.
        tablet = browser.new_context(viewport={"width": 820, "height": 1180}, has_touch=True, color_scheme="dark")
        tablet.set_default_timeout(PATIENCE)
        other = tablet.new_page()
        other.on("pageerror", lambda error: faults.append(str(error)))
        other.goto(f"{address}train?run=runs/first")
        until(other, "() => document.querySelector('#curves svg .line')")
        assert other.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        assert other.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
        seconds = float(other.locator("#facts").inner_text().split(" s of training")[0].split()[-1])
        other.locator("#more").fill(str(seconds + 3))
        other.locator("#go-on").tap()
        until(other, "() => document.querySelector('#state .done')")
        assert "--continue" in other.locator("#run-command").inner_text()
        other.locator("#work-button").tap()
        until(other, "() => document.querySelectorAll('#work-list li').length === 2")
    finally:
        server.terminate()
        server.wait()
    lines = (folder / "runs" / "first" / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) > 3
    gone = ("ERR_CONNECTION", "404", "422")  # while the server was away, before the run was there, and the broken file
    assert [fault for fault in faults if not any(word in fault for word in gone)] == []
