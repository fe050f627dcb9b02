"""What a frame declares is held against the network before anything of it is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.helpers import profiles, toy

import midstream as ms
from midstream import models
from midstream.serve import work as work_module
from midstream.serve.work import Done, Outcome, Refused, Served, Work, infer, prepare

SIZE = (60, 50)
#: The toy's levels as a profile has them: channels, size, positions of a cell on a side.
LAYOUT: tuple[Mapping[str, tuple[int, tuple[int, int], int]], ...] = ({"p3": (5, (4, 4), 2), "p4": (5, (2, 2), 1)},)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    model = models.load(str(toy.write_toy(tmp_path_factory.mktemp("toy"))))
    return prepare(model, None, max_pixels=10_000, batch=1, threads=1, elements=10_000)


def pyramid(**shapes: tuple[int, int, int]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def outcome(served: Served, bitstream: bytes, size: tuple[int, int] = SIZE) -> Outcome:
    return infer(served, [Work(bitstream, size)])[0]


def undecoded(monkeypatch: pytest.MonkeyPatch, served: Served, bitstream: bytes, **how: Any) -> Refused:
    """The refusal of a bitstream of which nothing is decoded."""
    with monkeypatch.context() as patched:
        patched.setattr(work_module, "decode", lambda *given, **options: pytest.fail("decoded"))
        refused = outcome(served, bitstream, **how)
    assert isinstance(refused, Refused)
    return refused


@pytest.mark.parametrize(
    "shapes",
    [
        {"p3": (5, 4, 4)},
        {"p3": (5, 4, 4), "p4": (5, 2, 2), "p5": (5, 1, 1)},
        {"p3": (5, 4, 4), "q4": (5, 2, 2)},
        {"p3": (6, 4, 4), "p4": (5, 2, 2)},
        {"p3": (5, 4, 4), "p4": (5, 2, 3)},
    ],
)
def test_other_levels_are_refused_undecoded(
    served: Served, monkeypatch: pytest.MonkeyPatch, shapes: dict[str, tuple[int, int, int]]
) -> None:
    refused = undecoded(monkeypatch, served, ms.encode(pyramid(**shapes)))
    assert (refused.kind, "toy takes 'p3' [5, 4, 4], 'p4' [5, 2, 2]" in refused.reason) == ("shapes", True)


def test_sizes_in_a_calibrated_header_are_refused_undecoded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = profiles.profile(layout=LAYOUT)
    fitted = replace(served, profile=profile)
    right = ms.encode(pyramid(p3=(5, 4, 4), p4=(5, 2, 2)), "calibrated", profile=profile)
    assert isinstance(outcome(fitted, right), Done)
    larger = ms.encode(pyramid(p3=(5, 8, 8), p4=(5, 4, 4)), "calibrated", profile=profile)
    assert undecoded(monkeypatch, fitted, larger).kind == "shapes"


def test_embedded_profiles_are_taken_on_request_and_of_the_network_s_levels_only(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile, foreign = profiles.profile(layout=LAYOUT), profiles.profile()
    own = ms.encode(pyramid(p3=(5, 4, 4), p4=(5, 2, 2)), "calibrated", profile=profile, embed=True)
    other = ms.encode(profiles.pyramid(), "calibrated", profile=foreign, embed=True)
    for each in (served, replace(served, profile=profile)):
        refused = undecoded(monkeypatch, each, own)
        assert refused.kind == "profile"
        assert "--allow-embedded-profiles" in refused.reason
    willing = replace(served, embedded=True)
    assert isinstance(outcome(willing, own), Done)
    assert undecoded(monkeypatch, willing, other).kind == "shapes"


def test_inputs_of_any_size_have_the_levels_of_the_image_s(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    free = replace(served, fixed=False, probe=(800, 1600), shapes={"p3": (5, 100, 200), "p4": (5, 50, 100)},
                   limits=ms.Limits(), max_pixels=1 << 24)  # fmt: skip
    monkeypatch.setattr(served.model, "input_size", lambda size: size)

    def takes(p3: tuple[int, int], p4: tuple[int, int], size: tuple[int, int]) -> bool:
        refused = outcome(free, ms.encode(pyramid(p3=(5, *p3), p4=(5, *p4))), size)
        return not isinstance(refused, Refused) or refused.kind != "shapes"

    assert takes((100, 200), (50, 100), (800, 1600))
    assert takes((51, 63), (26, 32), (400, 500))
    assert takes((64, 64), (32, 32), (400, 500))  # padded to a multiple of 128
    assert not takes((100, 200), (50, 100), (400, 500))
    assert not takes((51, 63), (52, 63), (400, 500))
    assert not takes((51, 63), (26, 1), (400, 500))


def test_the_sides_of_an_image_are_no_longer_than_a_photograph_s(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    bitstream = ms.encode(pyramid(p3=(5, 4, 4), p4=(5, 2, 2)))
    roomy = replace(served, max_pixels=1 << 24)
    for size in ((1, 1 << 24), (1 << 24, 1), (65_536, 1), (200, 65_536)):
        refused = undecoded(monkeypatch, roomy, bitstream, size=size)
        assert (refused.kind, "at most 65535 along a side" in refused.reason) == ("size", True)
    refused = undecoded(monkeypatch, roomy, bitstream, size=(6000, 9000))
    assert "9000x6000, 54,000,000 pixels; this server takes 1 to 16,777,216 pixels (its --max-pixels)" in refused.reason
    for size in ((65_535, 256), (200, 65_535), (1000, 16_000), (4096, 4096)):  # panoramas, and as many pixels as may be
        assert isinstance(outcome(roomy, bitstream, size), Done)
