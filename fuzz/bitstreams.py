"""What has to hold of whole bitstreams, whatever their bytes: for fuzz_decode.py, and for the tests of what is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import calibrated
import clip_files
import numpy as np
import stream_units
import symbol_units

import midstream as ms
from midstream import _native
from midstream.codec.base import StreamInfo
from midstream.codec.calibrated.decoder import CalibratedInfo
from midstream.codec.paper import groups
from midstream.codec.paper.decoder import open_levels
from midstream.codec.paper.unit_decoder import PaperUnitInfo
from midstream.codec.temporal.decoder import UnitInfo

LIMITS = ms.Limits(elements=1 << 16, values=1 << 14, channels=1 << 10, levels=8, chunk_bytes=1 << 14)
#: Of streams that hold a profile, which is half a megabyte.
ROOMY = replace(LIMITS, chunk_bytes=1 << 21)
_T = TypeVar("_T")


def small_groups() -> None:
    """Let small levels have several groups of channels, as large ones have."""
    groups._LEAST_ELEMENTS = 1 << 9


def unless_refused(read: Callable[[], _T]) -> _T | None:
    """What `read` gives; None for the one kind of error that a bitstream may cause."""
    try:
        return read()
    except ms.BitstreamError:
        return None


def same(a: Any, b: Any) -> bool:
    """Two levels with the same bits in them."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def check(data: bytes) -> None:
    """What has to hold of any bytes."""
    if data.startswith(clip_files.MAGIC):
        clip_files.check(data)
    elif data.startswith(stream_units.STREAM):
        profile, parts = stream_units.read(data)
        check_units(profile, stream_units.built(profile, parts))
    elif data.startswith(symbol_units.SYMBOLS):
        check_units(None, symbol_units.built(symbol_units.read(data)))
    elif data.startswith(calibrated.RECIPE):
        check_calibrated(calibrated.Recipe.read(data).built(), None)
    elif (header := calibrated.fields_of(data)) is not None:
        needed = header.key == calibrated.PROFILE.key and not header.profile_bytes
        check_calibrated(data, calibrated.PROFILE if needed else None)
    else:
        check_paper(data)


def check_calibrated(data: bytes, profile: ms.Profile | None) -> None:
    """What has to hold of a stream of the codec `calibrated`, which holds its profile or is read with this one."""
    header = calibrated.fields_of(data)
    if header is not None and not header.profile_bytes and profile is None:
        unless_refused(lambda: ms.inspect(data, limits=LIMITS))  # no profile to decode it with
        return
    info = unless_refused(lambda: ms.inspect(data, profile=profile, limits=ROOMY))
    decoded = unless_refused(lambda: ms.decode(data, profile=profile, limits=ROOMY))
    if decoded is None:
        return
    assert isinstance(info, CalibratedInfo), "inspect refuses what decode does not"
    assert info.shapes is not None
    assert info.dtypes is not None
    assert list(decoded) == list(info.shapes), "other levels than declared"
    for name, values in decoded.items():
        assert values.shape == info.shapes[name], "another shape than declared"
        assert str(values.dtype) == info.dtypes[name], "another element type than declared"
        assert np.isfinite(values.astype(np.float32)).all(), "a value that is not finite"
    cut = unless_refused(lambda: ms.decode(data[: len(data) * 3 // 4], profile=profile, limits=ROOMY, partial=True))
    assert cut is None, "a part of a stream decodes"
    check_alone_on_the_reference(data, decoded, profile)


def check_units(profile: ms.Profile | None, units: list[bytes]) -> None:
    """What has to hold of a stream: each unit is refused or decodes, on the reference path and from a state alike."""
    decoder, fastest = ms.StreamDecoder(profile, limits=LIMITS), _native.simd_path()
    for unit in units:
        state, other = decoder.state(), ms.StreamDecoder(profile, limits=LIMITS)
        other.restore(state)
        info = unless_refused(partial(ms.inspect, unit, profile=profile, limits=LIMITS))
        decoded = unless_refused(partial(decoder.decode, unit))
        _native.set_simd_path("reference")
        try:
            again = unless_refused(partial(other.decode, unit))
        finally:
            _native.set_simd_path(fastest)
        assert (again is None) == (decoded is None), "from a state or on the reference path another verdict"
        assert decoder.state() == (state if decoded is None else other.state()), "another state than is right"
        for name, values in (decoded or {}).items():
            assert again is not None
            assert same(values, again[name]), "from a state or on the reference path it decodes otherwise"
            assert np.isfinite(values.astype(np.float32)).all(), "a value that is not finite"
        assert decoded is None or isinstance(info, UnitInfo | PaperUnitInfo), "inspect refuses what decode does not"


def check_paper(data: bytes) -> None:
    """What has to hold of all other bytes."""
    unless_refused(lambda: ms.inspect(data, limits=LIMITS))
    info = unless_refused(lambda: ms.inspect(data, symbols=True, limits=LIMITS))
    decoded = unless_refused(lambda: ms.decode(data, limits=LIMITS))
    cut = unless_refused(lambda: ms.decode(data[: len(data) * 3 // 4], limits=LIMITS, partial=True))
    if info is not None and info.layouts:
        check_arrays(data, info, decoded)
        return
    assert (info is None) == (decoded is None), "only one of inspect and decode refuses it"
    if info is None or decoded is None:
        return
    assert list(decoded) == [level.name for level in info.levels], "other levels than declared"
    for level in info.levels:
        assert level.symbols is not None
        assert 0 <= level.symbols.entropy <= level.symbols.raw_bits + 1e-9, "an impossible entropy"
        values = decoded[level.name]
        assert values.shape == level.shape, "another shape than declared"
        assert str(values.dtype) == level.dtype, "another element type than declared"
        assert np.isfinite(values.astype(np.float32)).all(), "a value that is not finite"
    assert all(same(values, decoded[name]) for name, values in (cut or {}).items()), "a prefix decodes otherwise"
    check_alone_on_the_reference(data, decoded, None)
    for level in open_levels(data, LIMITS).values():
        costs = level.channel_costs(0)
        assert costs is None or (np.isfinite(costs[1]).all() and (costs[1] >= 0).all()), "an impossible number of bits"


def check_arrays(data: bytes, info: StreamInfo, decoded: dict[str, Any] | None) -> None:
    """What has to hold of a bitstream with layouts; only decoding tells that an array is of two element types."""
    if decoded is None:
        return
    assert info.shapes is not None
    assert sum(values.size for values in decoded.values()) == sum(map(math.prod, info.shapes.values())), "lost elements"
    for layout in info.layouts:
        assert decoded[layout.name].ndim == len(layout.axes), "other axes than declared"
    check_alone_on_the_reference(data, decoded, None)


def check_alone_on_the_reference(data: bytes, decoded: dict[str, Any], profile: ms.Profile | None) -> None:
    """Every level decodes alone, and the scalar code gives what the vectors gave."""
    fastest = _native.simd_path()
    _native.set_simd_path("reference")
    try:
        for name, values in decoded.items():
            alone = ms.decode(data, levels=[name], profile=profile, limits=ROOMY)
            assert list(alone) == [name], "another level than asked for"
            assert same(alone[name], values), "alone or on the reference path it decodes otherwise"
    finally:
        _native.set_simd_path(fastest)
