"""Files: pyramids as .npz and .safetensors, bitstreams, and output that appears whole or not at all."""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from midstream.errors import InputError
from midstream.features import DTYPES

#: File name that stands for standard input and output.
STANDARD = "-"
#: Key of a safetensors file's metadata that keeps the pyramid's order, which the format does not.
_ORDER = "midstream.levels"
_SAFETENSORS_TYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_SUFFIXES = (".npz", ".safetensors")


def read_bytes(path: str) -> bytes:
    """A file's content, or that of standard input for `-`. Raises InputError."""
    if path == STANDARD:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def write_bytes(path: str, data: bytes) -> None:
    """Write a file whole: under a temporary name beside it, then renamed; `-` is standard output. Raises InputError."""
    if path == STANDARD:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    target = Path(path)
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
            temporary = file.name
            file.write(data)
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_pyramid(path: str) -> dict[str, NDArray[Any]]:
    """A pyramid from an .npz or .safetensors file; from `-`, whichever of the two it is.

    Raises:
        InputError: not readable, or neither of the two.
    """
    if path != STANDARD:
        _check_suffix(path)
    data = read_bytes(path)
    try:
        return _from_npz(data) if data[:2] == b"PK" else _from_safetensors(data)
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: not a readable .npz or .safetensors file: {error}") from error


def write_pyramid(path: str, pyramid: Mapping[str, NDArray[Any]]) -> None:
    """Write a pyramid as .npz or .safetensors, by the name's ending; `-` is .npz on standard output.

    Raises:
        InputError: another ending, a bfloat16 level for .npz (numpy's format cannot hold it), or not writable.
    """
    if path != STANDARD:
        _check_suffix(path)
    data = _to_safetensors(pyramid) if path.endswith(".safetensors") else _to_npz(path, pyramid)
    write_bytes(path, data)


def _check_suffix(path: str) -> None:
    if Path(path).suffix not in _SUFFIXES:
        raise InputError(f"{path}: a pyramid is a file ending in {' or '.join(_SUFFIXES)}")


def _from_npz(data: bytes) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _to_npz(path: str, pyramid: Mapping[str, NDArray[Any]]) -> bytes:
    for name, values in pyramid.items():
        if values.dtype.kind == "V":
            raise InputError(f"{path}: level '{name}' is {values.dtype}, which .npz cannot hold: write .safetensors")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # np.savez would take level names for its own arguments
        for name, values in pyramid.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()


def _from_safetensors(data: bytes) -> dict[str, NDArray[Any]]:
    # Not safetensors.numpy.load: it does not know bfloat16.
    values = {}
    for name, tensor in safetensors.deserialize(data):  # type: ignore[no-untyped-call]
        if tensor["dtype"] not in _SAFETENSORS_TYPES:
            raise ValueError(f"level '{name}' has element type {tensor['dtype']}; valid: {', '.join(DTYPES)}")
        dtype = DTYPES[_SAFETENSORS_TYPES[tensor["dtype"]]]
        values[name] = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size]).get("__metadata__", {})
    order = json.loads(metadata.get(_ORDER, "null")) or sorted(values)
    return {name: values[name] for name in order} if set(order) == set(values) else values


def _to_safetensors(pyramid: Mapping[str, NDArray[Any]]) -> bytes:
    metadata = {_ORDER: json.dumps(list(pyramid))}
    return safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in pyramid.items()}, metadata)
