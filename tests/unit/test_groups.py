"""Groups of channels: whatever shares the work out, the bytes and the values stay."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import pytest

import midstream as ms
from midstream import _native
from midstream.codec.paper.groups import channel_groups, in_tasks
from midstream.codec.threads import thread_count


def large_pyramid() -> dict[str, np.ndarray]:
    """Several groups a level, a level of large groups, constant channels, one group without any symbols."""
    rng = np.random.default_rng(5)
    fine = rng.standard_normal((80, 64, 160), np.float32)
    fine[:32], fine[40] = 3, 0.5
    return {
        "fine": fine,
        "wide": rng.standard_normal((34, 3, 23_000), np.float32),
        "coarse": rng.standard_normal((70, 9, 9), np.float32),
    }


@pytest.mark.parametrize("coder", ["fast", "prefix", "raw"])
def test_bytes_and_values_do_not_depend_on_threads_or_path(coder: str) -> None:
    pyramid, before = large_pyramid(), _native.simd_path()
    streams, values = set(), set()
    try:
        for path in _native.simd_paths()[1:]:
            _native.set_simd_path(path)
            for threads in (1, 2, 5):
                data = ms.encode(pyramid, symbols=4, z=1.5, coder=coder, threads=threads)
                streams.add(data)
                decoded = ms.decode(data, threads=threads)
                values.add(b"".join(level.tobytes() for level in decoded.values()))
    finally:
        _native.set_simd_path(before)
    assert len(streams) == len(values) == 1


def test_lloyd_max_does_not_depend_on_threads() -> None:
    pyramid = large_pyramid()
    streams = {ms.encode(pyramid, symbols=5, thresholds="lloyd-max", threads=threads) for threads in (1, 2, 3)}
    assert len(streams) == 1


def test_groups_are_multiples_of_32_channels_and_large_enough() -> None:
    assert channel_groups((256, 256, 512))[:2] == [slice(0, 32), slice(32, 64)]
    assert channel_groups((96, 52, 52)) == [slice(0, 96)]
    assert channel_groups((70, 64, 128)) == [slice(0, 32), slice(32, 64), slice(64, 70)]
    assert channel_groups((1, 1, 1)) == [slice(0, 1)]


def test_large_groups_go_one_by_one_to_several_threads() -> None:
    large = (96, 256, 512)
    assert [list(task) for task in in_tasks([0, 1, 2], large, 1)] == [[0, 1], [2]]
    assert [list(task) for task in in_tasks([0, 1, 2], large, 2)] == [[0], [1], [2]]
    assert [list(task) for task in in_tasks([0, 1, 2], (96, 64, 128), 2)] == [[0, 1], [2]]
    assert in_tasks([], large, 2) == []


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2"])
def test_an_unusable_number_of_threads_is_named(bad: object) -> None:
    with pytest.raises(ms.InputError, match="threads is a whole number of at least 1"):
        thread_count(bad, 10)  # type: ignore[arg-type]
    assert thread_count(np.int64(3), 1 << 30) == 3  # type: ignore[arg-type]
    assert thread_count(8, 1000) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space")
def test_one_long_row_takes_no_more_memory_than_its_values() -> None:
    width = 1 << 25
    code = (
        "import numpy as np, midstream as ms;"
        f"x = np.zeros((1, 1, {width}), np.float32); x[0, 0, ::97] = 1;"
        "data = ms.encode({'x': x}, threads=1); del x;"
        "assert len(np.unique(ms.decode(data, threads=1)['x'])) == 2"
    )
    limit = 12 * width + (2 << 30)
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        env={"OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )


def test_arrays_from_used_buffers_keep_their_values() -> None:
    pyramid = large_pyramid()
    first = ms.decode(ms.encode(pyramid))
    copies = {name: values.copy() for name, values in first.items()}
    for seed in range(4):
        other = {name: np.random.default_rng(seed).permuted(values, axis=0) for name, values in pyramid.items()}
        ms.decode(ms.encode(other))
    for name, values in first.items():
        np.testing.assert_array_equal(values, copies[name])
