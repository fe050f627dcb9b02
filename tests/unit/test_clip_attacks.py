"""What attackers and slips of the hand did to clips: sources written over, indexes that lie, wild numbers."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from tests.helpers import deltas, profiles

import midstream as ms
from midstream import _native
from midstream.codec.clip_info import clip_info
from midstream.codec.clip_layout import CRC, END_MAGIC, FOOTER, INDEX, KEY, clip_header
from midstream.codec.wire import varint
from midstream.errors import InputError
from midstream.files import check_other_file


def record(data: bytes, right: bool) -> bytes:
    head = bytes([KEY]) + varint(len(data)) + varint(0)
    return head + data + (CRC.pack(_native.crc32c(data, _native.crc32c(head))) if right else bytes(CRC.size))


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    folder, film = tmp_path / "frames", tmp_path / "film.mp4"
    folder.mkdir()
    film.write_bytes(b"film")
    (folder / "1.png").write_bytes(b"image")
    link = tmp_path / "link.midv"
    link.symlink_to(film)
    for output, source in ((film, film), (link, film), (folder / "1.png", folder)):
        with pytest.raises(InputError, match="is what is read: give another name"):
            check_other_file(str(output), "-o", str(source))
    check_other_file(str(folder / "2.png"), "-o", str(folder))
    check_other_file("-", "-o", str(film))
    check_other_file(None, "--draw", str(film), None)


def test_a_file_that_is_there_stays_until_a_frame_comes(tmp_path: Path) -> None:
    file = tmp_path / "clip.midv"
    with ms.ClipWriter(file) as clip:
        clip.write(b"unit", time_s=0.0, key=True)
    before = file.read_bytes()
    with pytest.raises(RuntimeError), ms.ClipWriter(file):
        raise RuntimeError
    assert file.read_bytes() == before
    with pytest.raises(InputError, match="255 bytes"):
        ms.ClipWriter(file, ms.ClipHeader("n" * 300))
    assert file.read_bytes() == before
    with ms.ClipWriter(file) as clip:
        clip.write(b"u", time_s=0.0, key=True)
    with ms.ClipReader(file) as reader:
        assert [unit.data for unit in reader.units()] == [b"u"]


def test_damage_over_a_long_stretch_is_read_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each damaged record let the whole index be read again: 160 kB took the best part of an hour."""
    file = tmp_path / "damaged.midv"
    file.write_bytes(clip_header(ms.ClipHeader()) + record(b"x", right=False) * 3000)
    looks: list[int] = []
    with ms.ClipReader(file) as reader:
        index = reader.index
        monkeypatch.setattr(reader, "index", lambda: looks.append(1) or index())
        assert clip_info(reader).frames == 0
    assert len(looks) == 1


def test_an_index_that_names_a_place_twice_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "lies.midv"
    start = clip_header(ms.ClipHeader())
    frames = record(b"x", right=True) + record(b"y", right=False)
    entries = varint(0) + varint(0) + varint(len(start)) + (varint(6) + varint(0) + varint(0)) * 50
    body = varint(200) + varint(0) + varint(51) + entries
    index = bytes([INDEX]) + varint(len(body)) + body
    index += CRC.pack(_native.crc32c(index))
    file.write_bytes(start + frames + index + FOOTER.pack(len(index) + FOOTER.size, END_MAGIC))
    with ms.ClipReader(file) as reader:
        assert clip_info(reader).frames == 1


@pytest.mark.parametrize("options", [{"fps": 1e-320}, {"fps": 1e308}, {"bitrate": 10**400, "fps": 25}])
def test_numbers_that_nobody_means_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"is a number (from|above)"):
        ms.StreamEncoder("deltas", **({"bitrate": 1e5} | options))


def test_intervals_beyond_all_streams_are_refused() -> None:
    for name in ("key_interval", "refresh_interval"):
        with pytest.raises(InputError, match=f"{name} is a whole number"):
            ms.StreamEncoder(profile=profiles.profile(), **{name: 1 << 63})


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    deltas.install(monkeypatch)


def test_a_time_base_is_a_fraction_above_nothing(tmp_path: Path) -> None:
    for base in (Fraction(0), Fraction(-1, 3), Fraction(1, 10**30), 0.001):
        with pytest.raises(InputError, match="time base"):
            ms.ClipWriter(tmp_path / "x.midv", ms.ClipHeader(time_base=base))  # type: ignore[arg-type]
    assert not (tmp_path / "x.midv").exists()
