"""The report's clip in headless Chromium: it is played, fits the width, and nothing is asked of any network."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from tests.helpers import clips, toy

from midstream.compare.run import Request, compare
from midstream.progress import SILENT
from midstream.report.page import write_report

PATIENCE_S = 60


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    request = Request(
        model=str(toy.write_toy(folder)),
        data=f"clips:{clips.write_frames(folder / 'street', clips.frames(8, step=3))}",
        anchors=["h264:preset=fast,qp=22,32"],
        tests=["paper:symbols=4,z=1.5,coder=dense"],
        resamples=0,
        jobs=1,
    )
    return write_report(compare(request, folder / "out"), request, folder / "out", SILENT)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_clip_is_played_within_the_width(browser: Chrome, page: Path, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("browser")  # of pages before
    browser.get(page.as_uri())
    video = browser.find_element(By.TAG_NAME, "video")

    def state(name: str) -> float:
        return float(browser.execute_script("return arguments[0][arguments[1]] || 0", video, name))

    browser.execute_script("arguments[0].scrollIntoView()", video)  # what is out of sight does not begin
    WebDriverWait(browser, PATIENCE_S).until(lambda _: state("readyState") >= 2)
    WebDriverWait(browser, PATIENCE_S).until(lambda _: state("currentTime") > 0)
    assert browser.execute_script("return arguments[0].error", video) is None
    assert state("duration") == pytest.approx(8 / 25, abs=0.05)
    assert state("videoWidth") > 0
    left, right = browser.execute_script(
        "const r = arguments[0].getBoundingClientRect(); return [r.left, r.right]", video
    )
    assert 0 <= left < right <= width
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    asked = browser.execute_script("return performance.getEntriesByType('resource').map((e) => e.name)")
    assert [each for each in asked if not each.startswith("data:")] == []
    assert browser.get_log("browser") == []
