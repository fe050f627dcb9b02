"""Bitstreams that somebody has changed."""

from __future__ import annotations

import struct

from midstream import _native


def resealed(data: bytes, change: dict[int, int]) -> bytes:
    """Bytes changed and the header's checksum made right again, as an attacker would."""
    size = struct.unpack_from("<H", data, 6)[0]
    header = bytearray(data[: size - 4])
    for at, value in change.items():
        header[at] = value
    return bytes(header) + struct.pack("<I", _native.crc32c(bytes(header))) + data[size:]
