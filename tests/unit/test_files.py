"""Pyramids in files, and output that appears whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from midstream.arrays import unpack_pyramid
from midstream.errors import InputError
from midstream.files import check_writable, read_pyramid, write_bytes, write_pyramid


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_round_trip_keeps_names_order_and_types(tmp_path: Path, suffix: str) -> None:
    pyramid = {
        "p5/z": np.arange(8, dtype=np.float16).reshape(2, 2, 2),
        "file": np.ones((1, 2, 3), np.float32),  # np.savez takes this one for its own argument
        "a b": np.zeros((1, 1, 1), np.float32),
    }
    path = str(tmp_path / f"x{suffix}")
    write_pyramid(path, pyramid)
    back = read_pyramid(path)
    assert list(back) == list(pyramid)
    for name, values in pyramid.items():
        assert back[name].dtype == values.dtype
        np.testing.assert_array_equal(back[name], values)


def test_bfloat16_goes_into_safetensors_only(tmp_path: Path) -> None:
    pyramid = {"x": np.array([[[1.5]]], ml_dtypes.bfloat16)}
    with pytest.raises(InputError, match=r"bfloat16, which .npz cannot hold"):
        write_pyramid(str(tmp_path / "x.npz"), pyramid)
    assert not list(tmp_path.iterdir())
    write_pyramid(str(tmp_path / "x.safetensors"), pyramid)
    back = read_pyramid(str(tmp_path / "x.safetensors"))["x"]
    assert back.dtype == ml_dtypes.bfloat16
    assert back.tolist() == [[[1.5]]]


def test_a_plain_savez_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", p3=np.ones((1, 2, 2), np.float32))
    assert list(read_pyramid(str(tmp_path / "x.npz"))) == ["p3"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"PK\3\4 not a zip", b"\x10\0\0\0\0\0\0\0 not json", b"garbage"])
def test_unreadable_files_are_named(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"bad{suffix}: not a readable"):
        read_pyramid(str(path))


def test_objects_in_an_npz_are_not_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", p3=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="has element type object"):
        read_pyramid(str(tmp_path / "x.npz"))


def test_wrong_names_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a pyramid is a file ending in .npz or .safetensors"):
        write_pyramid("x.npy", {})
    with pytest.raises(InputError, match=r"none.npz: cannot be read: No such file"):
        read_pyramid(str(tmp_path / "none.npz"))
    with pytest.raises(InputError, match="cannot be written: No such file"):
        write_bytes(str(tmp_path / "no" / "x"), b"")


@given(st.data())
def test_a_damaged_npz_is_an_input_error(data: st.DataObject) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, p3=np.ones((1, 2, 2), np.float32), p4=np.zeros((2, 2, 2), np.float16))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):
        unpack_pyramid(bytes(content), "x")


@pytest.mark.parametrize("order", ["5", "true", "[{}]", "[" * 5000, '["y"]'])
def test_a_strange_order_of_levels(order: str) -> None:
    data = safetensors.numpy.save({"x": np.ones((1, 1, 1), np.float32)}, {"midstream.levels": order})
    with contextlib.suppress(InputError):
        assert list(unpack_pyramid(data, "x")) == ["x"]


def test_a_declared_size_beyond_memory(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1048576, 1048576, 64)}\n"
        archive.writestr("x.npy", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match=r"x\.npz: "):
        read_pyramid(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("name", ["../evil", "/etc/x", "a\0b"])
def test_names_that_an_npz_cannot_hold(tmp_path: Path, name: str) -> None:
    pyramid = {name: np.ones((1, 1, 1), np.float32)}
    with pytest.raises(InputError, match=r"cannot be a member of an \.npz"):
        write_pyramid(str(tmp_path / "x.npz"), pyramid)


def test_names_that_end_in_npy_are_told_apart(tmp_path: Path) -> None:
    pyramid = {"x": np.ones((1, 1, 1), np.float32), "x.npy": np.zeros((1, 1, 1), np.float32)}
    write_pyramid(str(tmp_path / "x.npz"), pyramid)
    back = read_pyramid(str(tmp_path / "x.npz"))
    assert {name: float(values.sum()) for name, values in back.items()} == {"x": 1.0, "x.npy": 0.0}


def test_links_pipes_and_modes_are_respected(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "target").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_bytes(str(tmp_path / "link"), b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o640
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_bytes(str(tmp_path / "pipe"), b"through")
    reader.join(timeout=30)
    assert got == [b"through"]
    assert (tmp_path / "pipe").is_fifo()


def test_what_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "none" / "x")
    for path in (str(tmp_path), "", f"{tmp_path}/new/", str(tmp_path / "none" / "x"), str(tmp_path / "dangling")):
        with pytest.raises(InputError, match="cannot be written"):
            check_writable(path)
    with pytest.raises(InputError, match="cannot be written"):
        write_bytes(str(tmp_path / "loop"), b"")
    for path in ("-", "/dev/null", str(tmp_path / "x")):
        check_writable(path)


def test_another_name_of_standard_output_adds_to_it(tmp_path: Path) -> None:
    code = "from midstream.files import write_bytes; write_bytes('/dev/stdout', b'two')"
    with (tmp_path / "f").open("ab") as file:
        file.write(b"one ")
        file.flush()
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "f").read_bytes() == b"one two"


def test_long_names_of_several_bytes_a_letter(tmp_path: Path) -> None:
    write_bytes(str(tmp_path / ("字" * 80)), b"x")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        write_bytes(str(target), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert target.read_bytes() == b"old"


def test_a_written_file_has_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_bytes(str(tmp_path / "x"), b"")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode
