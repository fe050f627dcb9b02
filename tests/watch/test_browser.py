"""The page in headless Chromium, at the widths of a desk and of a hand. Without one this is said at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from tests.helpers import clips, watching
from tests.helpers.watching import PATIENCE_S, Program

WIDTHS = (1280, 390)
both_widths = pytest.mark.parametrize("width", WIDTHS)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    described, profile = watching.toy_network(tmp_path_factory.mktemp("toy"))
    return ["-m", described, "--profile", profile, "--threads", 1]


@pytest.fixture(scope="module")
def program(network: list[object], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = clips.write_frames(tmp_path_factory.mktemp("clip") / "street", clips.frames(20))
    with Program(folder, *network, "--loop", "--fps", 25) as program:
        yield program


class View:
    """The page as somebody sees it."""

    def __init__(self, chrome: Chrome, url: str, width: int, height: int = 900) -> None:
        self.chrome = chrome
        self.sized(width, height)
        chrome.get_log("browser")  # of pages before
        chrome.get(url)
        self.until(lambda: int(self["screen"].get_dom_attribute("data-frame") or -1) >= 0)

    def __getitem__(self, identity: str) -> WebElement:
        return self.chrome.find_element(By.ID, identity)

    def sized(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def until(self, holds: Any) -> None:
        WebDriverWait(self.chrome, PATIENCE_S, poll_frequency=0.1).until(lambda _: holds())

    def script(self, text: str, *arguments: object) -> Any:
        return self.chrome.execute_script(text, *arguments)

    def frame(self) -> int:
        return int(self["screen"].get_dom_attribute("data-frame") or -1)

    def drawn(self, identity: str) -> int:
        """How many colours a chart or frame has."""
        data = self.script(
            "const c = document.getElementById(arguments[0]);"
            "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)", identity)  # fmt: skip
        return len(np.unique(np.array(data, np.uint8).reshape(-1, 4), axis=0))

    def problems(self) -> list[str]:
        """What the browser complains of."""
        return [each["message"] for each in self.chrome.get_log("browser")]


@both_widths
def test_everything_is_there_and_within_the_width(browser: Chrome, program: Program, width: int) -> None:
    view = View(browser, program.url, width)
    view.until(lambda: view["t-kbit"].text not in ("", "–"))
    view.until(lambda: all(view.drawn(each) > 2 for each in ("bytes-chart", "times-chart")))
    assert view.drawn("screen") > 100
    assert browser.title == "toy · street · midstream watch"
    assert view["phase"].text == "Playing"
    table = [row.text.split() for row in view["takes"].find_elements(By.CSS_SELECTOR, "tbody tr")]
    assert [row[0] for row in table] == ["ours,", "JPEG,", "x264,"]
    assert all(float(cell.replace(",", "")) > 0 for row in table for cell in row[-3:])
    stages = [row.text.split()[0] for row in view["times"].find_elements(By.CSS_SELECTOR, "tbody tr")]
    assert stages == ["waiting", "front", "encode", "decode", "back", "in"]
    assert view.script("return document.documentElement.scrollWidth") == width
    wide = view.script(
        "return [...document.querySelectorAll('body *')].filter((e) => e.offsetParent && "
        "(e.getBoundingClientRect().right > innerWidth + 1 || e.getBoundingClientRect().left < -1)).map((e) => e.id)"
    )
    assert wide == []
    assert view.problems() == []


@both_widths
def test_knobs_do_what_they_say(browser: Chrome, program: Program, width: int) -> None:
    view = View(browser, program.url, width)
    quality, value = view["quality"], view["quality-value"]
    for key in (Keys.END, Keys.HOME, Keys.ARROW_RIGHT):
        quality.send_keys(key)
    view.until(lambda: value.text == "2")
    view.until(lambda: view.script("return store.said.quality") == 2)
    view["by-bitrate"].click()
    view.until(lambda: view.script("return store.said.bitrate") == 2e5)
    assert view["bitrate-value"].text == "200 kbit/s"
    keys = view.script("return store.said.keys")
    view["key"].click()
    view.until(lambda: view.script("return store.said.keys") > keys)
    view["uncoded"].click()
    view.until(lambda: view["t-agreement"].text.endswith("%"))
    view["uncoded"].click()
    view.until(lambda: not view["agreement-tile"].is_displayed())
    view["pause"].click()
    view.until(lambda: view["phase"].text == "Paused")
    assert view["pause"].text == "Go on"
    frame = view.script("return store.said.frames")
    browser.find_element(By.TAG_NAME, "body").send_keys(" ")
    view.until(lambda: view.script("return store.said.frames") > frame)
    view["by-quality"].click()
    view.until(lambda: view.script("return store.said.quality") == 2)
    assert view.problems() == []


def _contrast(view: View) -> list[str]:
    """Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3)."""
    return list(
        view.script("""
        const light = (c) => c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
          .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
        const behind = (e) => { for (; e; e = e.parentElement) {
          const c = numbers(getComputedStyle(e).backgroundColor);
          if (c.length === 3 || c[3] === 1) return c.slice(0, 3); }
          return [255, 255, 255]; };
        return [...document.querySelectorAll('body *')].filter((e) => e.offsetParent && !e.disabled &&
          [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())).filter((e) => {
            const ink = numbers(getComputedStyle(e).color).slice(0, 3);
            const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05) < 4.5; }).map((e) => e.id + e.textContent);
    """)
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_by_day_and_by_night(browser: Chrome, program: Program, scheme: str) -> None:
    features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", features)
    view = View(browser, program.url, 1280)
    view.until(lambda: view["t-kbit"].text not in ("", "–"))
    ground = "return getComputedStyle(document.body).backgroundColor"
    system = view.script(ground)
    assert _contrast(view) == []
    for _ in ("light", "dark", "system"):
        view["theme"].click()
        chosen = view["theme-name"].text
        assert _contrast(view) == []
        assert (view.script(ground) == system) == (chosen in ("system", scheme))
    assert view["theme-name"].text == "system"


def test_whoever_does_not_see_it_can_use_it(browser: Chrome, program: Program) -> None:
    """Everything that can be used has a name; frame and charts have words."""
    view = View(browser, program.url, 1280)
    for element in browser.find_elements(By.CSS_SELECTOR, "button, input, canvas, table"):
        if element.is_displayed():
            assert element.accessible_name, element.get_attribute("outerHTML")
    view.until(lambda: view["screen"].accessible_name.startswith(f"Frame of {clips.WIDTH} by {clips.HEIGHT} pixels: "))
    view.until(lambda: view["words"].text in view["screen"].accessible_name)  # of the same frame, while they change
    roles = {each: view[each].aria_role for each in ("phase", "pause", "quality")}
    assert roles == {"phase": "status", "pause": "button", "quality": "slider"}


def test_a_server_that_goes_and_comes_back(browser: Chrome, network: list[object], tmp_path: Path) -> None:
    folder = clips.write_frames(tmp_path / "street", clips.frames(3))
    with Program(folder, *network) as first:
        view = View(browser, first.url, 390)
        view.until(lambda: view["phase"].text == "Ended")
        assert view["again"].text == "Play again"
        frames = view.script("return store.said.frames")
        view["again"].click()
        view.until(lambda: view.script("return store.said.frames") > frames)
        assert first.end()[0] == 0
        view.until(lambda: view["phase"].text == "Not connected")
        assert not view["pause"].is_enabled()
    port = first.host.partition(":")[2]
    with Program(folder, *network, "--loop", "--port", port) as second:
        assert second.url == first.url
        view.until(lambda: view["phase"].text == "Playing")
        assert view["pause"].is_enabled()
