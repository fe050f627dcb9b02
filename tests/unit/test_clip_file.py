"""Files of clips: what goes in comes out, wherever one begins, whatever is missing, whatever is damaged."""

from __future__ import annotations

import io
import os
import tracemalloc
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.format_clip import read_clip

import midstream as ms
from midstream import _native
from midstream.codec.clip_layout import CRC, ClipUnit
from midstream.errors import BitstreamError, CorruptError, InputError, LimitError, TruncatedError, UnsupportedError

GOLDEN = Path(__file__).parents[1] / "golden" / "v1" / "clip.midv"
ABOUT = ms.ClipHeader("net", "0123456789abcdef", Fraction(1, 1000))
#: (unit, milliseconds since the one before, key, size)
Row = tuple[bytes, int, bool, tuple[int, int] | None]
ROWS: list[Row] = [
    (b"first", 0, True, (480, 640)),
    (b"second unit", 40, False, (480, 640)),
    (b"3", 33, False, (480, 640)),
    (b"fourth" * 40, 40, True, (480, 640)),
    (b"5", 0, False, (480, 640)),
    (b"sixth", 1000, True, (100, 200)),
    (b"7", 40, False, (100, 200)),
]
rows = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=300),
        st.integers(0, 1 << 20),
        st.booleans(),
        st.none() | st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    ),
    max_size=12,
)


class Pipe(io.BytesIO):
    """A file that can only be read onward."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise OSError("a pipe")


def written(rows: list[Row], about: ms.ClipHeader = ABOUT) -> bytes:
    file = io.BytesIO()
    with ms.ClipWriter(file, about) as clip:
        for (data, _, key, size), ms_ in zip(rows, accumulate(row[1] for row in rows), strict=True):
            clip.write(data, time_s=ms_ / 1000, key=key, size=size)
    return file.getvalue()


def read(data: bytes, **begin: Any) -> list[ClipUnit]:
    return list(ms.ClipReader(io.BytesIO(data)).units(**begin))


def whole(data: bytes) -> tuple[list[ClipUnit], BitstreamError | None]:
    """The units that come before an error, and the error."""
    found: list[ClipUnit] = []
    try:
        for unit in ms.ClipReader(io.BytesIO(data)).units():
            found.append(unit)
    except BitstreamError as error:
        return found, error
    return found, None


def same(units: list[ClipUnit], expected: list[Row], first: int = 0) -> bool:
    times = list(accumulate(row[1] for row in expected))
    return [(u.number, u.data, u.ticks, u.key, u.size) for u in units] == [
        (n, row[0], times[n], row[2], row[3]) for n, row in enumerate(expected) if n >= first
    ]


@given(rows)
def test_any_units_come_back_with_their_times_keys_and_sizes(given_rows: list[Row]) -> None:
    data = written(given_rows)
    assert same(read(data), given_rows)
    assert same(list(ms.ClipReader(Pipe(data)).units()), given_rows)
    with ms.ClipReader(io.BytesIO(data)) as clip:
        assert clip.header == ABOUT
        assert clip.whole
        assert [key.number for key in clip.index()] == [n for n, row in enumerate(given_rows) if row[2]]
        assert sum(unit.record_bytes for unit in clip.units()) <= len(data)


@given(rows)
def test_a_reader_after_the_document_alone_agrees(given_rows: list[Row]) -> None:
    data = written(given_rows)
    seen, clip = read_clip(data), ms.ClipReader(io.BytesIO(data))
    assert (seen["network"], seen["profile"], seen["time base"]) == (ABOUT.network, ABOUT.profile, ABOUT.time_base)
    units = [(u.ticks, u.key, u.size, u.data) for u in clip.units()]
    assert units == [frame[1:] for frame in seen["frames"]]
    assert seen["index"] == [(key.number, key.ticks, key.offset, key.size) for key in clip.index()]
    assert [frame[0] for frame in seen["frames"] if frame[2]] == [key.offset for key in clip.index()]


def test_the_golden_clip_is_read_for_ever() -> None:
    data = GOLDEN.read_bytes()
    assert data == written(ROWS)
    assert same(read(data), ROWS)
    assert len(read_clip(data)["frames"]) == len(ROWS)


@given(rows, st.integers(0, 12))
def test_reading_begins_at_the_key_at_or_before(given_rows: list[Row], frame: int) -> None:
    data = written(given_rows)
    keys = [n for n, row in enumerate(given_rows) if row[2] and n <= frame]
    expected = max(keys, default=0) if frame else 0
    assert same(read(data, frame=frame), given_rows, expected)
    unindexed = data[: ms.ClipWriter(io.BytesIO(), ABOUT).written + sum(u.record_bytes for u in read(data))]
    clip = ms.ClipReader(io.BytesIO(unindexed))
    assert not clip.whole
    assert clip.index() == ms.ClipReader(io.BytesIO(data)).index()
    found = []
    with pytest.raises(TruncatedError, match="whole frames, without an index"):
        found += [found.append(unit) for unit in clip.units(frame=frame)]
    assert same(found, given_rows, expected)


def test_reading_begins_at_the_key_at_or_before_a_time() -> None:
    data = written(ROWS)
    for time_s, number in ((0, 0), (0.05, 0), (0.112, 0), (0.113, 3), (0.5, 3), (1.112, 3), (1.113, 5), (99, 5)):
        assert read(data, time_s=time_s)[0].number == number
    assert read(data, time_s=99, frame=4)[0].number == 3
    with pytest.raises(InputError, match="a pipe is read from its first frame on"):
        next(ms.ClipReader(Pipe(data)).units(frame=3))
    clip = ms.ClipReader(Pipe(data))
    with pytest.raises(InputError, match="a pipe has no index"):
        clip.index()
    with pytest.raises(InputError, match="a pipe has no index"):
        clip.whole  # noqa: B018


def test_of_a_file_cut_anywhere_all_that_is_whole_comes_and_then_what_is_missing() -> None:
    data = written(ROWS)
    header = ms.ClipWriter(io.BytesIO(), ABOUT).written
    ends = list(accumulate((unit.record_bytes for unit in read(data)), initial=header))
    for cut in range(len(data)):
        if cut < header:
            with pytest.raises(TruncatedError, match="ends within its header"):
                ms.ClipReader(io.BytesIO(data[:cut]))
            continue
        found, error = whole(data[:cut])
        count = sum(end <= cut for end in ends) - 1
        assert same(found, ROWS[:count])
        assert isinstance(error, TruncatedError)
        if cut in ends:
            assert f"ends after {count} whole frames, without an index" in str(error)
        elif cut > ends[-1]:
            assert "all frames are whole" in str(error) or "within the first bytes of frame 7" in str(error)
        clip = ms.ClipReader(io.BytesIO(data[:cut]))
        assert [key.number for key in clip.index()] == [n for n in (0, 3, 5) if n < count]
        assert not clip.whole


def test_a_missing_part_of_a_unit_is_counted() -> None:
    data = written(ROWS)
    ends = list(accumulate((u.record_bytes for u in read(data)), initial=ms.ClipWriter(io.BytesIO(), ABOUT).written))
    _, error = whole(data[: ends[4] - 100])
    assert str(error) == f"the clip: ends within frame 3: 100 of {ends[4] - ends[3]} bytes are missing"


def test_a_changed_byte_never_gives_a_wrong_unit() -> None:
    data = written(ROWS)
    header = ms.ClipWriter(io.BytesIO(), ABOUT).written
    for at in range(len(data)):
        for bit in (0x01, 0x10, 0x80):
            damaged = bytes([*data[:at], data[at] ^ bit, *data[at + 1 :]])
            found, error = whole(damaged)
            assert same(found, ROWS[: len(found)])
            assert isinstance(error, BitstreamError), at
            if at < header:
                continue
            clip = ms.ClipReader(io.BytesIO(damaged))
            for frame in (3, 6):
                try:
                    units = list(clip.units(frame=frame))
                except BitstreamError:
                    continue
                assert same(units, ROWS, units[0].number)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_typed_errors(tail: bytes) -> None:
    header = written([])[: ms.ClipWriter(io.BytesIO(), ABOUT).written]
    _, error = whole(header + tail)
    assert error is not None
    ms.ClipReader(io.BytesIO(header + tail)).index()
    with pytest.raises(BitstreamError):
        list(ms.ClipReader(io.BytesIO(tail)).units())


def test_a_time_beyond_all_clips_is_refused() -> None:
    header = written([], ms.ClipHeader(time_base=Fraction((1 << 63) - 1, 1)))
    start = ms.ClipWriter(io.BytesIO(), ms.ClipHeader(time_base=Fraction((1 << 63) - 1, 1))).written
    record = b"\x01\x01\x01u"
    data = header[:start] + record + CRC.pack(_native.crc32c(record))
    with pytest.raises(CorruptError, match="frame 0: a time of 1 ticks"):
        read(data)


def test_damage_is_told_and_reading_goes_on_where_it_may() -> None:
    data = bytearray(written(ROWS))
    data[data.index(b"second")] ^= 1
    told: list[BitstreamError] = []
    clip = ms.ClipReader(io.BytesIO(bytes(data)))
    assert [unit.number for unit in clip.units(damaged=told.append)] == [0, 3, 4, 5, 6]
    assert [str(error) for error in told] == ["the clip: frame 1: wrong checksum"]
    data[data.index(b"sixth")] ^= 1
    clip = ms.ClipReader(io.BytesIO(bytes(data)))
    found: list[int] = []
    with pytest.raises(CorruptError, match="frame 5: wrong checksum"):  # no key follows
        found.extend(unit.number for unit in clip.units(damaged=told.append))
    with pytest.raises(CorruptError, match="frame 1: wrong checksum"):
        list(ms.ClipReader(Pipe(bytes(data))).units(damaged=told.append))


def test_behind_damage_reading_goes_on_at_the_next_key() -> None:
    data = bytearray(written(ROWS))
    data[data.index(b"second")] ^= 1
    found, error = whole(bytes(data))
    assert [unit.number for unit in found] == [0]
    assert isinstance(error, CorruptError)
    assert str(error) == "the clip: frame 1: wrong checksum"
    assert same(read(bytes(data), frame=3), ROWS, 3)


def test_a_length_that_is_wrong_costs_no_memory() -> None:
    header = written([])[: ms.ClipWriter(io.BytesIO(), ABOUT).written]
    large = b"\x01\xff\xff\xff\xff\x03\x00" + bytes(1000)  # 2^30 - 1 bytes
    tracemalloc.start()
    try:
        found, error = whole(header + large)
        index = b"\x80\xff\xff\xff\xff\xff\x7f" + bytes(1000)
        _, other = whole(header + index)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert not found
    assert isinstance(error, TruncatedError)
    assert isinstance(other, TruncatedError)
    with pytest.raises(LimitError, match="a unit of 1,073,741,823 bytes; the limit is 1,000"):
        list(ms.ClipReader(io.BytesIO(header + large), limits=ms.Limits(chunk_bytes=1000)).units())


def test_what_is_of_another_kind_or_a_newer_release_is_named() -> None:
    data = written(ROWS)
    with pytest.raises(CorruptError, match="does not begin with 'MIDV'"):
        read(b"MIDS" + data[4:])
    with pytest.raises(UnsupportedError, match="version 2; this release reads 1"):
        read(data[:4] + b"\x02" + data[5:])
    header = ms.ClipWriter(io.BytesIO(), ABOUT).written
    with pytest.raises(UnsupportedError, match="unknown flags 0x05"):
        read(data[:header] + b"\x05" + data[header + 1 :])
    with pytest.raises(CorruptError, match="is not the end of a file"):
        read(data + b"x")
    other = written([*ROWS, ROWS[-1]])
    index = data[header + sum(unit.record_bytes for unit in read(data)) :]
    frames = other[: header + sum(unit.record_bytes for unit in read(other))]
    with pytest.raises(CorruptError, match="the index counts 7 frames; there are 8"):
        read(frames + index)


def test_a_clip_of_no_frames_and_of_one_are_files(tmp_path: Path) -> None:
    assert read(written([])) == []
    assert same(read(written(ROWS[:1])), ROWS[:1])
    with ms.ClipWriter(tmp_path / "clip.midv") as clip:
        clip.write(b"unit", time_s=1.5, key=True)
    with ms.ClipReader(tmp_path / "clip.midv") as back:
        assert back.header == ms.ClipHeader()
        (unit,) = back.units()
        assert (unit.time_s, unit.size) == (1.5, None)


def test_every_unit_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "clip.midv"
    clip = ms.ClipWriter(path, ABOUT)
    for n in range(4):
        clip.write(b"unit", time_s=n, key=n == 0)
        found, error = whole(path.read_bytes())
        assert len(found) == n + 1
        assert isinstance(error, TruncatedError)
    clip.abandon()
    assert len(whole(path.read_bytes())[0]) == 4


def test_units_that_cannot_be_written_are_refused_and_the_file_goes_on() -> None:
    file = io.BytesIO()
    with ms.ClipWriter(file, ABOUT) as clip:
        clip.write(b"one", time_s=5, key=True, size=(4, 4))
        for wrong in (4.9, -1, float("nan"), float("inf")):
            with pytest.raises(InputError, match="frame 1 of the clip is of the time"):
                clip.write(b"two", time_s=wrong, key=False)
        for data, size in ((b"", None), (b"x", (0, 4)), (b"x", (4, 1 << 30))):
            with pytest.raises(InputError, match="frame 1 of the clip has"):
                clip.write(data, time_s=6, key=False, size=size)
        clip.write(b"two", time_s=5, key=False, size=(4, 4))
    assert [unit.data for unit in read(file.getvalue())] == [b"one", b"two"]
    with pytest.raises(InputError, match="have at most 255 bytes"):
        ms.ClipWriter(io.BytesIO(), ms.ClipHeader("n" * 256))


@pytest.mark.parametrize("part", [0, 5, 10_000])
def test_a_frame_that_is_interrupted_leaves_the_ones_before_in_a_whole_file(tmp_path: Path, part: int) -> None:
    class Interrupted(io.FileIO):
        armed = False

        def write(self, data: Any) -> int:
            if not self.armed:
                return super().write(data)
            super().write(data[:part])
            raise KeyboardInterrupt

    path = tmp_path / "clip.midv"
    clip = ms.ClipWriter(path, ABOUT)
    clip._file.close()
    clip._file = file = Interrupted(path, "r+b")  # type: ignore[assignment]
    file.seek(0, io.SEEK_END)
    clip.write(b"one", time_s=0, key=True)
    file.armed = True
    with pytest.raises(KeyboardInterrupt):
        clip.write(b"another", time_s=1, key=True)
    file.armed = False
    clip.close()
    assert [unit.data for unit in read(path.read_bytes())] == [b"one"]


def test_what_goes_into_a_pipe_is_never_taken_back() -> None:
    class Once(Pipe):
        def write(self, data: Any) -> int:
            if self.tell() > 60:
                super().write(bytes(data[:3]))
                raise KeyboardInterrupt
            return super().write(bytes(data))

    file = Once()
    clip = ms.ClipWriter(file, ABOUT)
    clip.write(b"a unit", time_s=0, key=True)
    clip.write(b"a unit", time_s=0, key=True)
    with pytest.raises(KeyboardInterrupt):
        clip.write(b"a unit", time_s=0, key=True)
    clip.close()
    found, error = whole(file.getvalue())
    assert len(found) == clip.frames
    assert isinstance(error, TruncatedError)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")  # noqa: PTH110
def test_a_full_disk_and_missing_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/dev/full: cannot be written: No space left"):
        ms.ClipWriter("/dev/full")
    with pytest.raises(InputError, match="cannot be written: No such file"):
        ms.ClipWriter(tmp_path / "nowhere" / "clip.midv")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        ms.ClipReader(tmp_path / "clip.midv")


def test_memory_is_flat_over_ten_thousand_frames(tmp_path: Path) -> None:
    class Nothing(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            return len(data)

    clip = ms.ClipWriter(Nothing(), ABOUT)  # type: ignore[arg-type]
    unit = bytes(2000)
    tracemalloc.start()
    try:
        for n in range(10_000):
            clip.write(unit, time_s=n / 25, key=n % 64 == 0, size=(480, 640))
            if n == 1000:
                early = tracemalloc.get_traced_memory()[0]
        assert tracemalloc.get_traced_memory()[0] < early + 10_000
    finally:
        tracemalloc.stop()
