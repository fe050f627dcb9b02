"""What `encode` refuses at its door: what `decode` would by its default limits, and what no memory holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import midstream as ms
from midstream.errors import InputError

MOST = ms.Limits().channels


@pytest.mark.parametrize("vector", [True, False])
def test_the_most_channels_are_decoded_and_one_more_is_refused(vector: bool) -> None:
    def pyramid(count: int) -> dict[str, Any]:
        values = np.zeros(count, np.float32)
        return {"v": ms.Tensor(values, "C") if vector else values.reshape(-1, 1, 1)}

    back = ms.decode(ms.encode(pyramid(MOST), symbols=4))["v"]
    assert back.size == MOST
    for coder in (ms.encode, ms.StreamEncoder("paper").encode):
        with pytest.raises(InputError, match="level 'v' has 65537 channels; the limit is 65536"):
            coder(pyramid(MOST + 1))


def test_the_most_levels() -> None:
    one = np.zeros((1, 1, 2), np.float32)
    most = ms.Limits().levels
    assert len(ms.decode(ms.encode({f"l{i}": one for i in range(most)}))) == most
    with pytest.raises(InputError, match="1025 levels; the limit is 1024"):
        ms.encode({f"l{i}": one for i in range(most + 1)})


@pytest.mark.parametrize("options", [{"symbols": 256}, {"symbols": 256, "coder": "dense"}])
def test_values_of_many_symbols(options: dict[str, Any]) -> None:
    most = ms.Limits().values // 256
    values = np.random.default_rng(0).normal(size=(most + 1, 1, 2)).astype(np.float32)
    assert ms.decode(ms.encode({"v": values[:most]}, **options))["v"].shape == (most, 1, 2)
    for coder in (lambda pyramid: ms.encode(pyramid, **options), ms.StreamEncoder("paper", **options).encode):
        with pytest.raises(InputError, match=r"reconstruction values; the limit is 4194304, .* take fewer symbols"):
            coder({"v": values})


@pytest.mark.parametrize("axes", ["CHW", "HWC", None])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8])
def test_an_array_that_shows_little_memory_many_times(axes: str | None, dtype: Any) -> None:
    huge = np.broadcast_to(np.ones((), dtype), (1 << 14, 1 << 20, 1 << 14))
    with pytest.raises(InputError, match=r"level 'v' of shape \[16384, 1048576, 16384\] does not fit into memory"):
        ms.encode({"v": huge if axes is None else ms.Tensor(huge, axes)})


@pytest.mark.parametrize("axes", ["CHW", "HWC", "NC", None])
def test_a_masked_array_is_refused(axes: str | None) -> None:
    shape = (4, 4) if axes == "NC" else (2, 3, 4)
    masked = np.ma.masked_array(np.ones(shape, np.float32), mask=np.eye(*shape[-2:], dtype=bool) & np.ones(shape, bool))
    pyramid = {"v": masked if axes is None else ms.Tensor(masked, axes)}
    for code in (ms.encode, lambda each: ms.encode_batch([each]), lambda each: ms.encode_batch(iter([each]))):
        with pytest.raises(InputError, match=r"'v' is a masked array, .* fill it"):
            code(pyramid)
