"""The codec `calibrated`: round trips, targets, profiles, and everything that a stream or a profile may have wrong."""

from __future__ import annotations

import hashlib
import itertools
import lzma
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.helpers import profiles

import midstream as ms
from midstream import _native
from midstream.arrays import pack_tensors, unpack_tensors
from midstream.codec.api import inspect
from midstream.codec.calibrated import coding, transform
from midstream.codec.calibrated.coding import analyse, code
from midstream.codec.calibrated.decoder import CalibratedInfo
from midstream.codec.calibrated.document import CurvePoint
from midstream.codec.calibrated.stream import write_stream
from midstream.errors import BitstreamError, CorruptError, InputError, LimitError, TruncatedError, UnsupportedError
from midstream.features import check_pyramid
from midstream.limits import Limits

PROFILE = profiles.profile()
PYRAMID = profiles.pyramid()
DATA = ms.encode(PYRAMID, "calibrated", profile=PROFILE, quality=60)


def error_of(pyramid: dict[str, np.ndarray], decoded: dict[str, np.ndarray]) -> float:
    return float(np.mean([np.square(pyramid[name] - decoded[name]).mean() for name in pyramid]))


def test_names_shapes_and_types_come_back() -> None:
    decoded = ms.decode(DATA, profile=PROFILE)
    assert list(decoded) == list(PYRAMID)
    assert all(decoded[n].shape == PYRAMID[n].shape and decoded[n].dtype == np.float32 for n in PYRAMID)


def test_a_better_quality_is_larger_and_nearer() -> None:
    sizes, errors = [], []
    for quality in (1, 30, 60, 100):
        data = ms.encode(PYRAMID, "calibrated", profile=PROFILE, quality=quality)
        sizes.append(len(data))
        errors.append(error_of(PYRAMID, ms.decode(data, profile=PROFILE)))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 4
    assert errors == sorted(errors, reverse=True)


def test_the_finest_step_loses_next_to_nothing() -> None:
    fine = profiles.profile(qualities=(0,) * 100)
    decoded = ms.decode(ms.encode(PYRAMID, "calibrated", profile=fine, quality=1), profile=fine)
    assert error_of(PYRAMID, decoded) < 1e-5  # the transform itself, of float16 rows


def test_the_same_bytes_on_every_path_and_for_any_number_of_threads(simd_path: str) -> None:
    assert ms.encode(PYRAMID, "calibrated", profile=PROFILE, quality=60, threads=3) == DATA
    once, twice = (ms.decode(DATA, profile=PROFILE, threads=t) for t in (1, 2))
    for name in PYRAMID:
        assert np.array_equal(once[name], twice[name])


def test_products_add_up_in_one_order(simd_path: str) -> None:
    rng = np.random.default_rng(3)
    for rows, inner, columns in ((1, 1, 1), (5, 7, 65), (9, 130, 200)):
        a, b = rng.normal(size=(rows, inner)).astype("f4"), rng.normal(size=(inner, columns)).astype("f4")
        out = np.empty((rows, columns), np.float32)
        _native.multiply(a, b, out)
        expected = np.zeros((rows, columns), np.float32)
        for d in range(inner):
            expected += a[:, d, None] * b[d]
        assert np.array_equal(out, expected)


def test_the_profile_can_be_in_the_stream() -> None:
    data = ms.encode(PYRAMID, "calibrated", profile=PROFILE, quality=60, embed=True)
    assert len(data) > len(PROFILE.data)
    for name, values in ms.decode(data).items():
        assert np.array_equal(values, ms.decode(DATA, profile=PROFILE)[name])


def test_a_stream_says_which_profile_it_needs(tmp_path: Path) -> None:
    other = profiles.profile(seed=5)
    with pytest.raises(InputError, match=f"{PROFILE.name}.*{other.name}"):
        ms.decode(DATA, profile=other)
    with pytest.raises(InputError, match=f"{PROFILE.name}.*--profile"):
        ms.decode(DATA)
    PROFILE.write(tmp_path / "p.profile")
    assert ms.Profile.read(tmp_path / "p.profile").key == PROFILE.key
    assert set(ms.decode(DATA, profile=tmp_path / "p.profile")) == set(PYRAMID)


def test_one_level_alone() -> None:
    whole = ms.decode(DATA, profile=PROFILE)
    for name in PYRAMID:
        alone = ms.decode(DATA, profile=PROFILE, levels=[name])
        assert list(alone) == [name]
        assert np.array_equal(alone[name], whole[name])
    with pytest.raises(InputError, match="unknown level 'p9'"):
        ms.decode(DATA, profile=PROFILE, levels=["p9"])


@pytest.fixture(scope="module")
def measured() -> ms.Profile:
    """A profile that knows what its steps cost on other pyramids."""
    analysed = [analyse(check_pyramid(profiles.pyramid(seed)), PROFILE) for seed in (7, 8)]
    sizes = {step: float(np.mean([len(code(each, step)) for each in analysed])) for step in range(60, 160, 6)}
    return profiles.profile(curve=tuple(CurvePoint(step=s, bytes=b, loss=s / 1000) for s, b in sizes.items()))


@pytest.mark.parametrize("most", [150, 400, 1000, 2500])
@pytest.mark.parametrize("scale", [0.3, 1, 3])
def test_a_cap_is_never_exceeded_and_used(
    most: int, scale: float, measured: ms.Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    monkeypatch.setattr(coding, "code", lambda *given: passes.append(given) or code(*given))
    data = ms.encode(profiles.pyramid(1, scale), "calibrated", profile=measured, max_bytes=most)
    assert len(data) <= most
    assert len(passes) <= 8
    if scale == 1:
        assert len(data) > 0.95 * most


@pytest.mark.parametrize("most", [100, 1000])
def test_a_cap_holds_where_the_profile_knows_nothing(most: int) -> None:
    assert len(ms.encode(PYRAMID, "calibrated", profile=PROFILE, max_bytes=most)) <= most


def test_a_cap_of_any_size_is_taken(measured: ms.Profile) -> None:
    for most in (1 << 62, 10**30, 10**400):
        assert len(ms.encode(PYRAMID, "calibrated", profile=measured, max_bytes=most)) > 3000
    room = len(PROFILE.data) + 1000
    assert room - 500 < len(ms.encode(PYRAMID, "calibrated", profile=measured, max_bytes=room, embed=True)) <= room


def test_a_cap_that_is_not_needed_takes_no_step_too_fine_for_the_values(measured: ms.Profile) -> None:
    large = profiles.pyramid(1, 100)
    decoded = ms.decode(ms.encode(large, "calibrated", profile=measured, max_bytes=1 << 30), profile=measured)
    assert max(float(np.abs(np.clip(large[n], -50, 50) - decoded[n]).max()) for n in large) < 1


def test_a_cap_below_what_is_possible_says_what_is() -> None:
    with pytest.raises(InputError, match=r"max_bytes 20: the least that this pyramid takes is \d+ bytes"):
        ms.encode(PYRAMID, "calibrated", profile=PROFILE, max_bytes=20)


def inspected_step(max_loss: float) -> int:
    found = inspect(ms.encode(PYRAMID, "calibrated", profile=PROFILE, max_loss=max_loss))
    assert isinstance(found, CalibratedInfo)
    return found.step


def test_a_loss_is_the_coarsest_step_within_it() -> None:
    assert inspected_step(0.105) == 105, "in equal ratios between 0.1 at 100 and 0.11 at 110"
    assert inspected_step(0.1) == 100
    assert inspected_step(0.5) == 180
    with pytest.raises(InputError, match=r"the least is 6\.00%; allow as much, or calibrate with more images"):
        ms.encode(PYRAMID, "calibrated", profile=PROFILE, max_loss=0.01)


def test_other_sizes_and_types_are_in_the_stream() -> None:
    sizes = {"p3": (9, 13), "p4": (5, 7), "p5": (2, 4)}
    rng = np.random.default_rng(4)
    pyramid = {name: rng.normal(size=(len(PYRAMID[name]), *size)).astype(np.float16) for name, size in sizes.items()}
    data = ms.encode(pyramid, "calibrated", profile=PROFILE, quality=100)
    decoded = ms.decode(data, profile=PROFILE)
    assert {name: values.shape[1:] for name, values in decoded.items()} == sizes
    assert all(values.dtype == np.float16 for values in decoded.values())
    info = inspect(data, profile=PROFILE)
    assert isinstance(info, CalibratedInfo)
    assert info.shapes == {name: values.shape for name, values in pyramid.items()}
    assert info.total_bytes == len(data) == info.header_bytes + info.payload_bytes + info.checksum_bytes


def test_importance_by_scores() -> None:
    grid = (8, 10)
    everywhere = ms.encode(PYRAMID, "calibrated", profile=PROFILE, scores=np.ones(grid))
    nowhere = ms.encode(PYRAMID, "calibrated", profile=PROFILE, scores=np.zeros(grid))
    assert len(nowhere) < len(everywhere)
    for bad in (np.ones((2, 2)), np.full(grid, 1.5), np.full(grid, np.nan)):
        with pytest.raises(InputError, match="scores "):
            ms.encode(PYRAMID, "calibrated", profile=PROFILE, scores=bad)


def test_what_cannot_be_coded_is_refused() -> None:
    def refused(pyramid: dict[str, np.ndarray], message: str, **options: object) -> None:
        with pytest.raises(InputError, match=message):
            ms.encode(pyramid, "calibrated", profile=PROFILE, **options)  # type: ignore[arg-type]

    refused({"p3": PYRAMID["p3"]}, "the profile, of toy, p3, p4, p5$")
    refused({**PYRAMID, "p6": PYRAMID["p5"]}, "p3, p4, p5: leave out p6")
    refused({**PYRAMID, "p3": PYRAMID["p3"][:2]}, "'p3' has 2 channels, the profile is for 6")
    refused({**PYRAMID, "p4": PYRAMID["p4"][:, :3]}, "do not lie over one another")
    holed = PYRAMID["p4"].copy()
    holed[2, 0, 0] = np.nan
    refused({**PYRAMID, "p4": holed}, "'p4', channel 2 holds a NaN")
    refused(PYRAMID, "one of quality", quality=60, max_bytes=100)
    for quality in (0, 101, 5.5, True):
        refused(PYRAMID, "quality is a whole number, 1 to 100", quality=quality)
    refused(PYRAMID, "max_loss is a share", max_loss=1.5)
    refused(PYRAMID, "max_bytes is a whole number", max_bytes=0)
    refused(PYRAMID, "max_loss is a share", max_loss=10**400)
    refused(PYRAMID, "symbols is no option of the codec calibrated", symbols=4)
    with pytest.raises(InputError, match="quality is no option of the codec paper"):
        ms.encode(PYRAMID, quality=60)
    with pytest.raises(InputError, match="needs a profile"):
        ms.encode(PYRAMID, "calibrated")


def test_every_prefix_is_truncated() -> None:
    for size in range(len(DATA)):
        with pytest.raises(TruncatedError):
            ms.decode(DATA[:size], profile=PROFILE)
    with pytest.raises(CorruptError, match="data follows"):
        ms.decode(DATA + b"\0", profile=PROFILE)


def test_every_byte_matters() -> None:
    for at in range(len(DATA)):
        for change in (1, 0x80):
            damaged = bytearray(DATA)
            damaged[at] ^= change
            with pytest.raises(BitstreamError):
                ms.decode(bytes(damaged), profile=PROFILE)


def resealed(header: bytes, rest: bytes) -> bytes:
    size = (len(header) + 4).to_bytes(2, "little")
    header = header[:6] + size + header[8:]
    sealed = header + _native.crc32c(header).to_bytes(4, "little")
    return sealed + rest + _native.crc32c(rest).to_bytes(4, "little")


@pytest.mark.parametrize("at", range(9, len(DATA) - 8, 7))
def test_damage_behind_right_checksums_is_handled(at: int) -> None:
    size = int.from_bytes(DATA[6:8], "little")
    for change in (1, 0x55, 0xFF):
        damaged = bytearray(DATA)
        damaged[at] ^= change
        data = resealed(bytes(damaged[: size - 4]), bytes(damaged[size:-4]))
        try:
            decoded = ms.decode(data, profile=PROFILE, limits=Limits(elements=1 << 20))
        except (BitstreamError, InputError):  # InputError: another profile is asked for
            continue
        assert all(np.isfinite(values).all() for values in decoded.values())


def test_what_a_header_may_not_say() -> None:
    size = int.from_bytes(DATA[6:8], "little")
    body, rest = DATA[: size - 4], DATA[size:-4]

    def refused(kind: type[Exception], header: bytes, message: str, limits: Limits | None = None) -> None:
        with pytest.raises(kind, match=message):
            ms.decode(resealed(header, rest), profile=PROFILE, limits=limits)

    flags = 17
    refused(UnsupportedError, body[:flags] + b"\x80" + body[flags + 1 :], "unknown flags")
    refused(UnsupportedError, body[:8] + b"\x09" + body[9:], "codec number 9")
    refused(CorruptError, body + b"\0", "bytes too many")
    refused(CorruptError, body[:19] + b"\0" + body[20:], "0 groups")
    refused(LimitError, body, "the limit is 100", Limits(elements=100))
    refused(LimitError, body, "the limit is 50", Limits(chunk_bytes=50))
    refused(LimitError, body, "level 'p3' has 6 channels; the limit is 5", Limits(channels=5))
    transforms = 36 + 25 + 29 * 29 + 3 * 14 * 29 + 16 + 16 + 3 * 2 * 4 + 4 * 28
    refused(LimitError, body, f"{transforms} values", Limits(values=transforms - 1))
    assert set(ms.decode(DATA, profile=PROFILE, limits=Limits(channels=6, values=transforms))) == set(PYRAMID)
    refused(CorruptError, body[:flags] + b"\x01" + body[flags + 1 :] + b"\0", "an embedded profile of no bytes")


def test_profiles_that_are_damaged_or_not_profiles() -> None:
    for data, message in (
        (b"", "not a readable"),
        (b"x" * 9_000_000, "more than 8,000,000 bytes"),
        (PROFILE.data[:-1], "not a readable"),
        (PROFILE.data.replace(b'\\"version\\": 1', b'\\"version\\": 7'), "version 7"),
        (PROFILE.data.replace(b'\\"seed\\"', b'\\"sead\\"'), "seed"),
        (PROFILE.data.replace(b"0/scales", b"0/scalex"), "damaged"),
    ):
        with pytest.raises(InputError, match=message):
            ms.Profile.parse(data, "it")


def rebuilt(document: dict[str, object] | None = None, **tensors: np.ndarray) -> bytes:
    """The profile with other values."""
    parts, about = unpack_tensors(PROFILE.data, "it")
    return pack_tensors(
        {**parts, **{name.replace("__", "/"): t for name, t in tensors.items()}}, about | (document or {})
    )


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"version": 6, "more": 1}, "a profile of version 6"),
        ({"curve": [{"step": 1, "bytes": float("nan"), "loss": 0.1}]}, "curve"),
        ({"curve": [{"step": 1, "bytes": 0, "loss": 0.1}]}, "curve"),
        ({"qualities": list(range(100))}, "do not increase"),
        ({"power": float("inf")}, "power"),
    ],
)
def test_documents_that_are_out_of_range(document: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ms.Profile.parse(rebuilt(document), "it")


def test_sizes_of_nothing_are_refused() -> None:
    groups = unpack_tensors(PROFILE.data, "it")[1]["groups"]
    for side in (0, -5, 1 << 70):
        groups[0]["levels"][0]["size"] = [side, 4]
        with pytest.raises(InputError, match="size"):
            ms.Profile.parse(rebuilt({"groups": groups}), "it")


def test_a_profile_asks_for_no_more_than_the_limits() -> None:
    wide = np.zeros((4, 9 * 29 + 1), np.float16)
    profile = ms.Profile.parse(rebuilt(**{"1__prediction": wide}), "it")
    data = ms.encode(PYRAMID, "calibrated", profile=profile, quality=1, embed=True)
    elements = sum(values.size for values in PYRAMID.values())
    assert set(ms.decode(data, limits=Limits(elements=elements, levels=len(PYRAMID)))) == set(PYRAMID)
    with pytest.raises(LimitError, match="levels; the limit is 1"):
        ms.decode(data, limits=Limits(levels=1))
    with pytest.raises(InputError, match="damaged"):
        ms.Profile.parse(rebuilt(**{"0__p3.weight": np.full(6, 1e-45, np.float32)}), "it")
    with pytest.raises(InputError, match=r"0/state\.learnt holds 4097 to 4097, which is out of range"):
        ms.Profile.parse(rebuilt(**{"0__state.learnt": np.full(24, 4097, np.uint16)}), "it")
    with pytest.raises(InputError, match="more coefficients than channels"):
        ms.Profile.parse(rebuilt(**{"0__p3.basis": np.zeros((9, 6), np.float16)}), "it")


def test_blocks_of_cells_are_decoded_as_the_whole_is(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ms.decode(DATA, profile=PROFILE)
    for numbers in (1, 400, 3000):
        monkeypatch.setattr(transform, "_BLOCK_NUMBERS", numbers)
        for name, values in ms.decode(DATA, profile=PROFILE).items():
            assert np.array_equal(values, whole[name])


def test_cells_that_hardly_hold_anything_are_limited() -> None:
    layout = [{"a": (4, (4, 4), 4)}, {"b": (4, (4, 4), 4)}]
    profile = profiles.profile(layout=layout)

    def declared(width: int) -> bytes:
        sizes = {"a": (1, width), "b": (1, width)}
        return write_stream(profile, 60, sizes, dict.fromkeys("ab", "float32"), [b"\0" * 4] * 2, False)

    limits = Limits(elements=8 << 17)
    for width, error in ((1 << 17, LimitError), (1 << 16, CorruptError)):
        with pytest.raises(error):
            ms.decode(declared(width), profile=profile, limits=limits)


def test_other_objects_than_profiles_are_refused() -> None:
    for value in (b"bytes", 5, {}, object()):
        for call in (lambda v=value: ms.decode(DATA, profile=v), lambda v=value: ms.inspect(DATA, profile=v)):
            with pytest.raises(InputError, match=r"a profile is a midstream\.Profile"):
                call()


def test_values_beyond_reason_are_refused() -> None:
    with pytest.raises(InputError, match="too large to code"):
        ms.encode({n: np.full_like(v, 3e38) for n, v in PYRAMID.items()}, "calibrated", profile=PROFILE)


def test_a_profile_whose_numbers_are_out_of_range_is_refused() -> None:
    group = PROFILE.groups[0]
    assert replace(group).state.size == _native.coefficient_state().size
    start = 8 + int.from_bytes(PROFILE.data[:8], "little")
    rng = np.random.default_rng(0)
    for at in rng.integers(start, len(PROFILE.data), 300):
        damaged = bytearray(PROFILE.data)
        damaged[at] = 0xFF
        try:
            other = ms.Profile.parse(bytes(damaged), "it")
        except InputError:
            continue
        ms.encode(PYRAMID, "calibrated", profile=other, quality=60)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("calibrated", "2d5ff94964bdc8b369568b98a69cc6984e7f1225ce226f7e968006d3dfef713a"),
        ("calibrated-4", "6420bfffa53b02e08c31b09adb6bf390c0aa46ad5d83fba830a86ded001e0709"),
        ("calibrated-5", "e65929b39a7813e9d5dde59b72a548983e4f20580616a4f456e8596ecdb1b595"),
    ],
)
def test_the_golden_streams_decode_as_ever(name: str, digest: str, simd_path: str) -> None:
    golden = Path(__file__).parents[1] / "golden" / "v1" / f"{name}.mids.xz"
    decoded = ms.decode(lzma.decompress(golden.read_bytes()))
    assert hashlib.sha256(b"".join(values.tobytes() for values in decoded.values())).hexdigest() == digest


def test_nothing_is_printed_when_python_ends_before_a_profile_does() -> None:
    """As when a thread of the codec still holds it."""
    code = (
        "import ctypes\n"
        "from tests.helpers.profiles import profile, pyramid\n"
        "import midstream as ms\n"
        "used = profile(); ms.encode(pyramid(), codec='calibrated', profile=used)\n"
        "ctypes.pythonapi.Py_IncRef(ctypes.py_object(used))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_bytes_do_not_depend_on_the_steps_that_were_tried_before() -> None:
    levels = check_pyramid(profiles.pyramid(3))
    tried = analyse(levels, PROFILE)
    code(tried, 40)
    assert code(tried, 120) == code(analyse(levels, PROFILE), 120)


def test_losses_between_measured_steps_rise() -> None:
    losses = [PROFILE.loss_of(step) for step in range(40, 200)]
    assert all(a <= b for a, b in itertools.pairwise(losses))
    for point in PROFILE.about.curve:
        assert PROFILE.loss_of(point.step) == point.loss
    assert losses[0] == PROFILE.about.curve[0].loss
    assert losses[-1] == PROFILE.about.curve[-1].loss
    nothing = replace(
        PROFILE,
        about=PROFILE.about.model_copy(
            update={"curve": (CurvePoint(step=60, bytes=9, loss=0), *PROFILE.about.curve[1:])}
        ),
    )
    assert nothing.loss_of(65) == nothing.about.curve[1].loss, "no ratio to nothing"
    assert nothing.loss_of(60) == 0
