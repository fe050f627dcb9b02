"""docs/format.md is enough for a decoder: one that was written after it alone agrees with the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import format_decoder, format_layouts
from tests.helpers.golden import fingerprint

import midstream as ms

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
ENTRIES: list[dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text())


def test_it_is_short() -> None:
    assert len(Path(format_decoder.__file__).read_text().splitlines()) <= 430


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_golden_streams(entry: dict[str, Any]) -> None:
    decoded = format_layouts.decode((GOLDEN / entry["file"]).read_bytes())
    assert {name: fingerprint(values) for name, values in decoded.items()} == entry["levels"]


@st.composite
def coded(draw: st.DrawFn) -> bytes:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pyramid: dict[str, Any] = {}
    for name in ("a", "b"):
        shape = (draw(st.sampled_from([1, 3, 33, 40])), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
        dtype = draw(st.sampled_from([np.float32, np.float16, ml_dtypes.bfloat16]))
        scale = draw(st.sampled_from([1e-3, 1.0, 1e3]))
        pyramid[name] = (rng.laplace(size=shape) * scale + rng.normal(size=(shape[0], 1, 1))).astype(dtype)
        pyramid[name][rng.integers(shape[0], size=shape[0] // 3)] = 0.5
    n = draw(st.sampled_from([1, 2, 3, 4, 7, 30, 256]))
    options = {"symbols": n, "z": 0.5} if n == 3 else {"symbols": n}
    return ms.encode(pyramid, coder=draw(st.sampled_from(["fast", "dense", "raw", "prefix"])), **options)  # type: ignore[arg-type]


@settings(max_examples=60)
@given(coded())
def test_any_stream(data: bytes) -> None:
    ours, theirs = ms.decode(data), format_decoder.decode(data)
    assert list(ours) == list(theirs)
    for name, values in ours.items():
        assert values.dtype == theirs[name].dtype
        np.testing.assert_array_equal(values.view(np.uint8), theirs[name].view(np.uint8))
