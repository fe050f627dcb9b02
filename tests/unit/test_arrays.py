"""Pyramids in files of other people: what is declared is checked before it is believed."""

from __future__ import annotations

import io
import json
import struct
import sys
import tracemalloc
import warnings
import zipfile
from dataclasses import replace
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

import midstream as ms
from midstream.arrays import pack_safetensors, unpack_pyramid, unpack_tensors
from midstream.errors import InputError, OptionError
from midstream.limits import Limits

ONE = np.ones((1, 2, 3), np.float32)


def npy(values: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=values.dtype.hasobject)
    return buffer.getvalue()


def header(text: str, version: int = 1) -> bytes:
    """A .npy without content, whose header says `text`."""
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text.encode()


def declared(descr: str, shape: str) -> bytes:
    return header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n")


def npz(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def packed(content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    return npz(("p3.npy", content), method=method)


def tensors(text: str, content: bytes = bytes(24)) -> bytes:
    """A .safetensors with the header `text`."""
    return struct.pack("<Q", len(text)) + text.encode() + content


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ">f4"])
def test_a_plain_npy_is_one_level_named_by_its_stem(order: Any, dtype: Any) -> None:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype, order=order)
    for origin, name in (("maps/p3.npy", "p3"), ("p3", "p3"), ("-", "features"), ("a.b.npy", "a.b")):
        found = unpack_pyramid(npy(values), origin)
        assert list(found) == [name]
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == dtype
    assert ms.decode(ms.encode(found), levels=None)["a.b"].shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (declared("'<f4'", "(1048576, 1048576, 1024)"), "more than 268,435,456 elements at level 'p3'"),
        (declared("'<f4'", "(-1, 2, -3)"), "level 'p3' has a negative size"),
        (declared("'<f4'", "(1, 2, 3)"), "level 'p3' holds less than its shape says"),
        (npy(ONE) + b"x", "level 'p3' holds more than its shape says"),
        (npy(ONE)[:-1], "level 'p3' holds less than its shape says"),
        (npy(ONE.astype(np.float64)), "level 'p3' has element type float64; valid: float32, float16, bfloat16"),
        (npy(ONE.astype(ml_dtypes.bfloat16)), "level 'p3' has element type void16"),
        (npy(np.array([{}], object)), "level 'p3' has element type object"),
        (declared("'<U100000000'", "(1, 2, 3)"), "level 'p3' has element type str"),
        (declared("'V2000000000'", "(1, 2, 3)"), "level 'p3' has element type void"),
        (declared(str([("x", "<f4")]), "(1, 2, 3)"), "level 'p3' has element type void32"),
        (declared("'<f4'", "(" + "9" * 5000 + ",)"), "its header cannot be read"),
        (header("(" * 9000), "its header cannot be read"),
        (header("[" * 60000), "its header cannot be read"),
        (header("{" + " " * (1 << 20) + "}", 2), "its header cannot be read"),
        (header("{0_0: 1_if 1else 0}"), "its header cannot be read"),
        (header("", 3), "its header cannot be read"),
        (b"\x93NUMPY", "its header cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_header_says_is_checked_first(content: bytes, reason: str) -> None:
    for data in (content, packed(content), packed(content, zipfile.ZIP_STORED)):
        tracemalloc.start()
        with pytest.raises(InputError, match=r"^p3\.npy: ") as error:
            unpack_pyramid(data, "p3.npy")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert reason in str(error.value)
        assert len(str(error.value)) < 200
        assert "\n" not in str(error.value)
        assert peak < 16 * len(content) + (4 << 20)


def test_an_npz_unpacks_to_no_more_than_the_limit() -> None:
    data = packed(npy(np.zeros((16, 1024, 1024), np.float32)))
    assert len(data) < 1 << 17
    few = replace(Limits(), elements=1 << 20)
    tracemalloc.start()
    with pytest.raises(OptionError, match="more than 1,048,576 elements at level 'p3'") as error:
        unpack_pyramid(data, "x.npz", few)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    several = npz(*((f"{i}.npy", npy(np.zeros((1, 512, 1024), np.float32))) for i in range(3)))
    tracemalloc.start()
    with pytest.raises(OptionError, match="more than 1,048,576 elements at level '2'"):
        unpack_pyramid(several, "x.npz", few)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20  # nor is the first level unpacked
    assert "--max-elements" in error.value.spelled(lambda option: f"--{option.replace('_', '-')}")
    assert unpack_pyramid(data, "x.npz", replace(few, elements=1 << 24))["p3"].shape == (16, 1024, 1024)


@pytest.mark.parametrize("pack", [lambda levels: npz(*((k, npy(v)) for k, v in levels.items())), pack_safetensors])
def test_the_limits_are_of_all_levels_together(pack: Any) -> None:
    data = pack({"a": ONE, "b": ONE, "c": ONE})
    assert len(unpack_pyramid(data, "x", replace(Limits(), elements=18, levels=3))) == 3
    with pytest.raises(InputError, match="more than 17 elements at level"):
        unpack_pyramid(data, "x", replace(Limits(), elements=17))
    with pytest.raises(InputError, match="3 levels; the limit is 2"):
        unpack_pyramid(data, "x", replace(Limits(), levels=2))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_that_numpy_does_not_write_is_not_unpacked(method: int) -> None:
    with pytest.raises(InputError, match=r"x: level 'p3' is compressed in a way that NumPy does not write"):
        unpack_pyramid(packed(npy(ONE), method), "x")


def test_a_damaged_member_is_not_used() -> None:
    data = bytearray(packed(npy(ONE), zipfile.ZIP_STORED))
    data[data.index(npy(ONE)) + len(npy(ONE)) - 1] ^= 1
    with pytest.raises(InputError, match="CRC"):
        unpack_pyramid(bytes(data), "x")


def test_an_archive_without_a_level_is_named() -> None:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    with pytest.raises(InputError, match=r"x\.npz: an archive without a level"):
        unpack_pyramid(buffer.getvalue(), "x.npz")


def test_two_members_of_one_name() -> None:
    for names in (("a.npy", "a.npy"), ("a.npy", "a")):
        with pytest.raises(InputError, match="x: level 'a' is there twice"):
            unpack_pyramid(npz(*((name, npy(ONE)) for name in names)), "x")


def test_two_keys_of_one_name() -> None:
    level = '{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}'
    assert list(unpack_pyramid(tensors(f'{{"a":{level}}}'), "x")) == ["a"]
    for text, name in (
        (f'{{"a":{level},"a":{level}}}', "a"),
        (f'{{"a":{level[:-1]},"shape":[1,2,3]}}}}', "shape"),
        (f'{{"__metadata__":{{"k":"1","k":"2"}},"a":{level}}}', "k"),
    ):
        with pytest.raises(InputError, match=f"x: .*{name}"):
            unpack_pyramid(tensors(text), "x")
    document = json.dumps('{"version": 1, "version": 2}')
    with pytest.raises(InputError, match=r"x: .*'version' is there twice"):
        unpack_tensors(tensors(f'{{"__metadata__":{{"midstream":{document}}},"a":{level}}}'), "x")


@pytest.mark.parametrize(
    "offsets", [[[0, 24], [0, 24]], [[0, 24], [12, 36]], [[0, 24], [24, 1 << 40]], [[0, 24], [25, 49]]]
)
def test_offsets_that_overlap_or_leave_the_file(offsets: list[list[int]]) -> None:
    levels = {n: {"dtype": "F32", "shape": [1, 2, 3], "data_offsets": at} for n, at in zip("ab", offsets, strict=True)}
    with pytest.raises(InputError, match="x: not a readable"):
        unpack_pyramid(tensors(json.dumps(levels), bytes(49)), "x")


class torch_device(str):  # noqa: N801 (named as what it stands for)
    """Stands for torch.device."""

    __slots__ = ()

    @property
    def type(self) -> str:
        return str(self)


class Tensor:
    """Stands for a torch tensor that has no values, as on the device `meta`."""

    __module__ = "torch"
    dtype, device = "torch.float32", torch_device("meta")

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!\nand more lines")


def test_a_tensor_without_values_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = ModuleType("torch")
    torch.Tensor = Tensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(InputError) as error:
        ms.encode({"p3": Tensor()})  # type: ignore[dict-item]
    assert str(error.value) == (
        "level 'p3': a torch tensor of type torch.float32 on the device meta cannot be used: Cannot copy out of meta "
        "tensor; no data!"
    )
