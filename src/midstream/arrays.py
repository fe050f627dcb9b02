"""Pyramids as the content of .npy, .npz and .safetensors files, which may come from anybody."""

from __future__ import annotations

import io
import json
import math
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from midstream.errors import InputError, OptionError
from midstream.features import ELEMENT_TYPES
from midstream.limits import Limits

#: Of the one level of a .npy file that comes through a pipe and has no name.
_UNNAMED = "features"
#: Key of a safetensors file's metadata that keeps the pyramid's order, which the format does not.
_ORDER = "midstream.levels"
#: Key of the metadata that holds a JSON document about arrays that are not a pyramid.
_DOCUMENT = "midstream"
_SAFETENSORS_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8", "U8": "uint8"}
#: The second is of an archive without a member.
_ZIP_MAGIC, _NPY_MAGIC = (b"PK\3\4", b"PK\5\6"), b"\x93NUMPY"
_MEMBER_SUFFIX = ".npy"
#: What NumPy writes. Python's reader unpacks other kinds without a bound.
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
#: Bytes of a file in which the header of a .npy ends; NumPy itself reads at most 10,000 of one that it does not trust.
_HEADER_BYTES = 1 << 14
#: Of a name, in messages.
_SHOWN = 40


class _Found:
    """The levels of a pyramid that is being read, and what is left of the limits for them."""

    def __init__(self, origin: str, limits: Limits) -> None:
        self.levels: dict[str, NDArray[Any]] = {}
        self._names: set[str] = set()
        self._origin, self._limits, self._elements = origin, limits, 0

    def check_count(self, count: int) -> None:
        if count > self._limits.levels:
            raise InputError(f"{count:,} levels; the limit is {self._limits.levels:,}")

    def expect(self, name: str, shape: Sequence[int], dtype: str) -> None:
        """Refuse a level before anything of its size is made: of a name that is there, of a type or size unwanted."""
        if name in self._names:
            raise InputError(f"level '{name[:_SHOWN]}' is there twice")
        self._names.add(name)
        if dtype not in ELEMENT_TYPES:
            raise InputError(f"level '{name[:_SHOWN]}' has element type {dtype}; valid: {', '.join(ELEMENT_TYPES)}")
        if min(shape, default=0) < 0:
            raise InputError(f"level '{name[:_SHOWN]}' has a negative size")
        self._elements += math.prod(shape)
        if self._elements > self._limits.elements:
            raise OptionError(
                f"{self._origin}: more than {self._limits.elements:,} elements at level '{name[:_SHOWN]}'; "
                "where the file is to be trusted, raise `max_elements`"
            )


def unpack_pyramid(data: bytes, origin: str, limits: Limits | None = None) -> dict[str, NDArray[Any]]:
    """A pyramid from the content of a .npy, .npz or .safetensors file, told apart by its first bytes.

    Args:
        data: all bytes of the file.
        origin: its name, for errors; a .npy is one level that is named by its stem.
        limits: of what is unpacked, `elements` and `levels` count; None for the defaults.

    Raises:
        InputError: none of the three, two levels of one name, another element type, or above the limits. Nothing of
            a declared size is allocated before that is known.
    """
    found = _Found(origin, limits or Limits())
    try:
        if data.startswith(_ZIP_MAGIC):
            _from_npz(data, found)
        elif data.startswith(_NPY_MAGIC):
            _from_npy(data, Path(origin).stem, found)
        else:
            return _from_safetensors(data, found)
    except OptionError:
        raise
    except InputError as error:
        raise InputError(f"{origin}: {error}") from error
    except MemoryError as error:
        raise InputError(f"{origin}: declares more than there is memory for") from error
    except Exception as error:  # damaged files raise whatever the zip, zlib, numpy and JSON readers happen to meet
        raise InputError(f"{origin}: not a readable .npy, .npz or .safetensors file: {error}") from error
    return found.levels


class _Header(NamedTuple):
    """What a .npy says of its content, which begins at byte `start`."""

    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype[Any]
    start: int


def _from_npy(data: bytes, stem: str, found: _Found) -> None:
    name, file = _UNNAMED if stem in ("", "-") else stem, io.BytesIO(data)
    found.levels[name] = _npy_values(file, name, _npy_header(file, name, found))


def _from_npz(data: bytes, found: _Found) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:  # np.load mixes up names that end in .npy themselves
        members = archive.infolist()
        if not members:
            raise InputError("an archive without a level")
        found.check_count(len(members))
        headers = {}
        for member in members:
            name = member.filename.removesuffix(_MEMBER_SUFFIX)
            if member.compress_type not in _ZIP_METHODS:
                raise InputError(f"level '{name[:_SHOWN]}' is compressed in a way that NumPy does not write")
            with archive.open(member) as file:
                headers[name] = _npy_header(file, name, found)
        for member, (name, header) in zip(members, headers.items(), strict=True):
            with archive.open(member) as file:
                found.levels[name] = _npy_values(file, name, header)


def _npy_header(file: IO[bytes], name: str, found: _Found) -> _Header:
    head = io.BytesIO(file.read(_HEADER_BYTES))
    try:
        with warnings.catch_warnings():  # Python's compiler warns of odd literals
            warnings.simplefilter("ignore")
            shape, by_columns, dtype = _NPY_HEADERS[np.lib.format.read_magic(head)](head)
    except Exception as error:  # the header is a literal of Python: it fails in as many ways
        raise InputError(f"level '{name[:_SHOWN]}' is no array of NumPy: its header cannot be read") from error
    found.expect(name, shape, dtype.name)
    return _Header(shape, by_columns, dtype, head.tell())


def _npy_values(file: IO[bytes], name: str, header: _Header) -> NDArray[Any]:
    """The array of a .npy; of its content, one byte more than it declares is read, and no further."""
    size = math.prod(header.shape) * header.dtype.itemsize
    file.seek(header.start)
    content = file.read(size + 1)
    if len(content) != size:
        than = "more" if len(content) > size else "less"
        raise InputError(f"level '{name[:_SHOWN]}' holds {than} than its shape says")
    return np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.by_columns else "C")


def pack_npz(pyramid: Mapping[str, NDArray[Any]], target: str) -> bytes:
    """The content of an .npz file; `target` is named in errors.

    Raises:
        InputError: a bfloat16 level, which NumPy's format cannot hold, or a name that is no member of an archive.
    """
    for name, values in pyramid.items():
        if values.dtype.kind == "V":
            raise InputError(f"{target}: level '{name}' is {values.dtype}, which .npz cannot hold: write .safetensors")
        if "\0" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InputError(f"{target}: a level named {name!r} cannot be a member of an .npz: write .safetensors")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # np.savez would take level names for its own arguments
        for name, values in pyramid.items():
            with archive.open(f"{name}{_MEMBER_SUFFIX}", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()


def _from_safetensors(data: bytes, found: _Found) -> dict[str, NDArray[Any]]:
    # Not safetensors.numpy.load: it does not know bfloat16.
    tensors = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    found.check_count(len(tensors))
    metadata = _metadata(data)
    for name, tensor in tensors:
        dtype = _SAFETENSORS_TYPES.get(tensor["dtype"], tensor["dtype"])
        found.expect(name, tensor["shape"], dtype)
        found.levels[name] = np.frombuffer(tensor["data"], ELEMENT_TYPES[dtype]).reshape(tensor["shape"])
    order = json.loads(metadata.get(_ORDER, "null"))
    if order and sorted(order) == sorted(found.levels):
        return {name: found.levels[name] for name in order}
    return found.levels


def _metadata(data: bytes) -> dict[str, str]:
    """The strings in the header of a .safetensors file that its own reader has accepted. Raises InputError."""
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size], object_pairs_hook=_once).get("__metadata__") or {}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two values of one name, readers differ in which they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise InputError(f"'{twice[:_SHOWN]}' is there twice")
    return found


def pack_safetensors(pyramid: Mapping[str, NDArray[Any]]) -> bytes:
    """The content of a .safetensors file that keeps the order of the levels."""
    metadata = {_ORDER: json.dumps(list(pyramid))}
    return safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in pyramid.items()}, metadata)


def pack_tensors(tensors: Mapping[str, NDArray[Any]], document: object) -> bytes:
    """Arrays and a JSON document as the content of a .safetensors file."""
    arrays = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    return bytes(safetensors.numpy.save(arrays, {_DOCUMENT: json.dumps(document)}))


def unpack_tensors(data: bytes, origin: str) -> tuple[dict[str, NDArray[Any]], Any]:
    """What `pack_tensors` packed; `origin` is named in errors. Raises InputError."""
    try:
        tensors, metadata = safetensors.numpy.load(data), _metadata(data)
        if _DOCUMENT not in metadata:
            raise ValueError(f"its header has no document '{_DOCUMENT}'")
        return tensors, json.loads(metadata[_DOCUMENT], object_pairs_hook=_once)
    except Exception as error:  # damaged files raise whatever the readers happen to meet
        raise InputError(f"{origin}: not a readable .safetensors file of midstream: {error}") from error
