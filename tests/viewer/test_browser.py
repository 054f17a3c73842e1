"""The page in a real browser: the head has its skin, sliders move it without the server, a clip becomes a head.

Pixels are read from screenshots of the canvas; nothing waits for time, only for the page's own marks: `data-ready` is
the address of the head that is drawn, `data-frames` counts drawings.
"""

import io
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.certainty import WITHIN_95
from render.certainty import half_width_colors
from tests.viewer.prepared import STEPS, prepare
from viewer.web.server import STATIC

playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROOT = Path(__file__).parents[2]
SOFTWARE_GL = [
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox", "--disable-quic",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
NO_WEBGL = ["--disable-3d-apis", *SOFTWARE_GL[3:]]
HEAD_S = 600
CORNER = 16
"""Pixels left out along the edges of the canvas, where the page rounds its corners."""
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="the browser tests need Chromium on the PATH"),
    pytest.mark.skipif(not (STATIC / "index.html").is_file(),
                       reason="the client is not built: npm ci && npm run build in viewer/web/client")]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of cases with one that is finished."""
    folder = tmp_path_factory.mktemp("cases")
    prepare(folder)
    return folder


@pytest.fixture(scope="module")
def address(cases: Path) -> Iterator[str]:
    """The real server in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = f"from pathlib import Path; from viewer.web.server import serve; serve(Path({str(cases)!r}), port={port})"
    child = subprocess.Popen([sys.executable, "-c", start], cwd=ROOT,
                             env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"})
    url = f"http://127.0.0.1:{port}/"
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            assert child.poll() is None and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.1)
    yield url
    child.terminate()
    child.wait(20)


class Browser:
    """A page that remembers what went wrong and what was asked of the server."""

    def __init__(self, engine, arguments: list[str], width: int = 1280, height: int = 800) -> None:
        self.chromium = engine.chromium.launch(executable_path=CHROMIUM, args=arguments)
        self.page = self.chromium.new_context(viewport={"width": width, "height": height}).new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error('CSP', e.blockedURI))")

    def wait_head(self, part: str, seconds: float = 60) -> None:
        """Wait until the head whose address contains `part` is drawn."""
        self.page.wait_for_selector(f'canvas[data-ready*="{part}"]', timeout=seconds * 1000)

    def until(self, expression: str, seconds: float = 30) -> None:
        """Ask the page until it says yes (Playwright's own way needs eval in the page, which the CSP forbids)."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"not within {seconds} s: {expression}"
            self.page.wait_for_timeout(20)

    def drawn(self) -> int:
        return int(self.page.get_attribute("canvas", "data-frames") or 0)

    def after_drawing(self, act) -> np.ndarray:
        """Do something that changes the picture, wait for the drawing, and read the canvas."""
        before = self.drawn()
        act()
        self.until(f"Number(document.querySelector('canvas').dataset.frames) > {before}")
        return self.picture()

    def picture(self) -> np.ndarray:
        """What the canvas shows, without what the page lays over it."""
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")
        over = ".tag, .mark, .divider, .legend"
        self.page.evaluate(f"document.querySelectorAll('{over}').forEach(e => e.style.opacity = 0)")
        self.page.evaluate("scrollTo(0, 0)")
        png = self.page.screenshot(clip=self.box("canvas"))
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)[CORNER:-CORNER, CORNER:-CORNER]

    def box(self, selector: str) -> dict:
        found = self.page.locator(selector).first
        found.scroll_into_view_if_needed()
        return found.bounding_box()

    def drag(self, selector: str, start: float, end: float) -> None:
        """Drag along a slider, from one share of its length to another, as a hand does."""
        box = self.box(selector)
        y = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] * start, y)
        self.page.mouse.down()
        for share in np.linspace(start, end, 12):
            self.page.mouse.move(box["x"] + box["width"] * share, y)
        self.page.mouse.up()


@pytest.fixture(scope="module")
def engine() -> Iterator[object]:
    with playwright.sync_playwright() as running:
        yield running


@pytest.fixture
def browser(engine) -> Iterator[Browser]:
    opened = Browser(engine, SOFTWARE_GL)
    yield opened
    opened.chromium.close()


def changed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two pictures differ to the eye."""
    return np.abs(a - b).max(-1) > 12


def extent(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of a mask, as shares of the picture."""
    rows, columns = np.nonzero(mask)
    h, w = mask.shape
    return columns.min() / w, columns.max() / w, rows.min() / h, rows.max() / h


def slider(step: str) -> str:
    return f'input[type=range][data-step="{step}"]'


def test_a_slider_moves_the_nose_without_the_server(browser: Browser, address: str) -> None:
    page = browser.page
    page.goto(address)
    page.click("[data-case=prepared] a")
    browser.wait_head("predicted.glb")
    renderer = page.evaluate("""() => { const gl = document.createElement('canvas').getContext('webgl2');
        return gl.getParameter(gl.getExtension('WEBGL_debug_renderer_info').UNMASKED_RENDERER_WEBGL); }""")
    assert re.search("SwiftShader|ANGLE", renderer), renderer

    front = browser.picture()
    assert page.get_attribute("canvas", "data-textured") == "true"
    colours = len(np.unique(front.reshape(-1, 3), axis=0))
    assert colours > 2000, f"{colours} colours: the skin's picture is missing"

    planned = browser.after_drawing(lambda: page.click("[data-view=profile_left]"))
    browser.requests.clear()
    more = browser.after_drawing(lambda: browser.drag(slider(STEPS[0]), 0.48, 0.95))
    assert browser.requests == [], "a slider asked the server"
    moved = changed(planned, more)
    left, right, top, bottom = extent(moved)
    assert moved.sum() > 300 and right < 0.5 and bottom - top < 0.6, "the nose points left in this view; it alone moves"
    assert page.locator(".slider output").first.text_content() != "2.4 mm"

    none = browser.after_drawing(lambda: page.click("text=Reset to original"))
    before = browser.after_drawing(lambda: page.click("[data-mode=before]"))
    assert changed(none, planned).any() and np.array_equal(none, before), "zero sliders are exactly the original"
    again = browser.after_drawing(lambda: (page.click("[data-mode=after]"), page.click("text=As planned")))
    assert np.array_equal(again, planned)
    assert browser.errors == []


def test_both_sides_of_the_divider(browser: Browser, address: str) -> None:
    page = browser.page
    page.goto(f"{address}#/case/prepared")
    browser.wait_head("predicted.glb")
    page.click("[data-view=profile_left]")
    after = browser.after_drawing(lambda: page.click("[data-mode=after]"))
    before = browser.after_drawing(lambda: page.click("[data-mode=before]"))
    split = browser.after_drawing(lambda: page.click("[data-mode=split]"))
    half = split.shape[1] // 2
    assert np.array_equal(split[:, :half - 2], before[:, :half - 2])
    assert np.array_equal(split[:, half + 2:], after[:, half + 2:]) and not np.array_equal(after, before)
    box = browser.box(".divider")
    middle = box["x"] + box["width"] / 2, box["y"] + 60

    def drag_to_the_left_edge() -> None:
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(browser.box("canvas")["x"], middle[1], steps=5)
        page.mouse.up()

    assert np.array_equal(browser.after_drawing(drag_to_the_left_edge), after)
    assert np.array_equal(browser.after_drawing(lambda: page.press(".divider", "End")), before)
    side = browser.after_drawing(lambda: page.click("[data-mode=side]"))
    assert changed(side[:, :half], side[:, half:2 * half]).sum() > 50, "two heads, one of them changed"
    assert browser.errors == []


def test_certainty_is_shown_in_mm_with_its_legend(browser: Browser, address: str) -> None:
    """Surer above, less sure below, stripes where nothing was seen; before, after and side by side; by the keyboard."""
    page, switch = browser.page, "[data-look=certainty]"
    page.goto(f"{address}#/case/prepared")
    browser.wait_head("predicted.glb")
    skin = browser.picture()
    assert page.is_hidden(".legend")
    browser.requests.clear()
    page.focus(switch)
    shown = browser.after_drawing(lambda: page.keyboard.press("Enter"))
    assert browser.requests == [], "certainty asked the server"
    assert page.get_attribute(switch, "aria-pressed") == "true" and page.is_visible(".legend")
    words = page.inner_text(".legend").replace("\u00a0", " ")
    assert re.search(r"95 % of the face lies within ± \d\.\d mm", words), words
    assert "Not seen by the camera: completed from the other side and the average face" in words and "mm" in words
    assert changed(skin, shown).mean() > 0.1

    height, width = shown.shape[:2]
    middle = width // 2 + width // 12  # the globe's left side is at the picture's right
    above, below = shown[height // 3, middle], shown[2 * height // 3, middle]
    for colour, sd_mm in ((above, 0.5), (below, 2.0)):
        wanted = half_width_colors(np.array([WITHIN_95 * sd_mm]))[0]
        assert np.abs(colour / colour.sum() - wanted / wanted.sum()).max() < 0.04, (colour, wanted)
    columns = np.flatnonzero(changed(shown, shown[:1, :1]).any(0))
    edge = columns.min() + 12
    hidden = shown[height // 2 - 20:height // 2 + 20, edge:edge + 24]
    assert np.ptp(hidden, axis=-1).max() < 14 and hidden[..., 0].std() > 12, "grey stripes"

    before = browser.after_drawing(lambda: page.click("[data-mode=before]"))
    profile = browser.after_drawing(lambda: page.click("[data-view=profile_left]"))
    after = browser.after_drawing(lambda: page.click("[data-mode=after]"))
    assert changed(before, skin).mean() > 0.1 and changed(profile, after).any(), "both moments are coloured"
    page.click("[data-mode=side]")
    assert page.is_visible(".legend")
    browser.after_drawing(lambda: page.click("[data-look=clay]"))
    assert page.is_hidden(".legend") and page.get_attribute(switch, "aria-pressed") == "false"
    browser.after_drawing(lambda: (page.click("[data-mode=after]"), page.click("[data-look=clay]"),
                                   page.click("[data-view=front]")))
    assert np.array_equal(browser.picture(), skin), "and back to the skin"
    assert browser.errors == []


def test_a_saved_picture_of_certainty_carries_the_scale(browser: Browser, address: str, tmp_path: Path) -> None:
    page = browser.page
    page.goto(f"{address}#/case/prepared")
    browser.wait_head("predicted.glb")
    sizes = {}
    for name in ("skin", "certainty"):
        if name == "certainty":
            browser.after_drawing(lambda: page.click("[data-look=certainty]"))
        with page.expect_download() as download:
            page.click("text=Save picture")
        download.value.save_as(tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as image:
            sizes[name] = np.asarray(image.convert("RGB")).astype(int)
    extra = sizes["certainty"].shape[0] - sizes["skin"].shape[0]
    assert extra > 60
    foot = sizes["certainty"][-extra - 40:].reshape(-1, 3)
    assert all(np.abs(foot - half_width_colors(np.array([mm]))[0]).max(1).min() < 6 for mm in (0.1, 2.5, 4.9))


def test_turning_by_hand_and_saving_a_picture(browser: Browser, address: str) -> None:
    page = browser.page
    page.goto(f"{address}#/case/prepared")
    browser.wait_head("predicted.glb")
    front = browser.picture()
    turned = browser.after_drawing(lambda: [page.press("canvas", "ArrowRight") for _ in range(4)])
    assert changed(front, turned).sum() > 1000
    assert changed(turned, browser.after_drawing(lambda: page.click("text=Clay"))).sum() > 1000
    with page.expect_download() as download:
        page.click("text=Save picture")
    with Image.open(download.value.path()) as picture:
        assert picture.format == "PNG" and picture.height > browser.box("canvas")["height"]
        foot = np.asarray(picture.convert("L"))[-15:]
    assert foot.min() < 100 < 250 < foot.max(), "the mark that says it is a simulation is written under the picture"
    assert page.is_visible("text=Simulation, not a promise of the result")
    assert page.is_visible("text=scale: iris, ±9 % (95 %)")
    assert browser.errors == []


def test_a_file_that_is_no_video_is_explained(browser: Browser, address: str, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_text("this is no video")
    page = browser.page
    page.goto(address)
    page.set_input_files("input[name=files]", clip)
    page.wait_for_selector(".error[data-code]", timeout=60_000)
    assert "#/case/" in page.url and page.locator(".error p").first.text_content()


def test_without_webgl_the_rendered_views_are_shown(engine, address: str) -> None:
    opened = Browser(engine, NO_WEBGL)
    try:
        opened.page.goto(f"{address}#/case/prepared")
        opened.page.wait_for_selector("text=This browser cannot draw in 3D")
        image = opened.page.locator(".nowebgl img").first
        image.scroll_into_view_if_needed()
        opened.until("document.querySelector('.nowebgl img').naturalWidth === 30")
        assert opened.page.locator(slider(STEPS[0])).count() == 1
    finally:
        opened.chromium.close()


def test_the_page_fits_a_phone(engine, address: str) -> None:
    opened = Browser(engine, SOFTWARE_GL, 390, 844)
    page = opened.page
    try:
        for where in ("", "#/case/prepared"):
            page.goto(f"{address}{where}")
            page.wait_for_selector(".case a" if not where else 'canvas[data-ready]')
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            small = page.evaluate("""() => [...document.querySelectorAll('button, .button, select, input:not(.file)')]
                .filter(e => e.offsetParent && e.getBoundingClientRect().height < 43.5).map(e => e.outerHTML)""")
            assert small == [], "a finger needs 44 px"
            unnamed = page.evaluate("""() => [...document.querySelectorAll('input, select, canvas, [role=slider]')]
                .filter(e => !(e.labels?.length || e.getAttribute('aria-label'))).map(e => e.outerHTML)""")
            assert unnamed == [], "a screen reader needs a name"
        assert page.evaluate("getComputedStyle(document.querySelector('canvas')).touchAction") == "none"
    finally:
        opened.chromium.close()


@pytest.mark.e2e
@pytest.mark.timeout(1200)
def test_a_clip_becomes_a_head_and_its_nose_moves(
        browser: Browser, address: str, cases: Path, demo_video: Path) -> None:
    page = browser.page
    page.goto(address)
    page.set_input_files("input[name=files]", demo_video)
    page.wait_for_selector(".job progress, canvas[data-ready]")
    browser.wait_head("head.glb", HEAD_S)
    assert (cases / page.url.rsplit("/", 1)[1] / "recon" / "mesh.ply").is_file()

    page.select_option("select[name=procedure]", "rhinoplasty")
    page.click("[data-act=predict]")
    browser.wait_head("predicted.glb", HEAD_S)
    planned = browser.after_drawing(lambda: page.click("[data-view=profile_left]"))
    browser.requests.clear()
    none = browser.after_drawing(lambda: browser.drag(slider("rhinoplasty.hump_mm"), 0.5, 0.0))
    more = browser.after_drawing(lambda: browser.drag(slider("rhinoplasty.hump_mm"), 0.0, 0.98))
    assert browser.requests == [], "a slider asked the server"
    moved = changed(none, more)
    left, right, top, bottom = extent(moved)
    assert moved.sum() > 60 and right - left < 0.3 and bottom - top < 0.4, "the nose moves, and only it"
    assert len(np.unique(planned.reshape(-1, 3), axis=0)) > 2000, "the skin's picture is missing"
    assert browser.errors == []
