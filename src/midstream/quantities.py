"""Times, rates and sizes as people write them."""

from __future__ import annotations

import math
import re

from midstream.errors import InputError

_TIMES = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
#: Bits a second: network rates have powers of ten.
_RATES = {"bit": 1.0} | {f"{unit}{bit}": of for unit, of in (("k", 1e3), ("m", 1e6), ("g", 1e9)) for bit in ("", "bit")}
_SIZES = {"b": 1.0} | {
    f"{unit}{byte}": of**power for power, unit in enumerate("kmg", start=1) for byte, of in (("b", 1e3), ("ib", 1024.0))
}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


def seconds(text: str) -> float:
    """A time such as 10s, 500ms or 1m; a bare number is seconds. Raises InputError."""
    return _quantity(text, _TIMES, "s", "a time such as 10s, 500ms or 1m")


def bits_per_second(text: str) -> float:
    """A rate such as 2Mbit or 500kbit (a second); a bare number is bits, 200k is 200kbit. Raises InputError."""
    found = _quantity(text.lower().removesuffix("/s"), _RATES, "bit", "a rate such as 2Mbit or 500kbit")
    if found <= 0:
        raise InputError(f"a rate is above 0, not '{text}'")
    return found


def byte_count(text: str) -> int:
    """A size such as 256MiB or 2GB; a bare number is bytes. Raises InputError."""
    return int(_quantity(text.lower(), _SIZES, "b", "a size such as 256MiB or 2GB"))


def _quantity(text: str, units: dict[str, float], usual: str, what: str) -> float:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or (match[2] or usual) not in units:
        raise InputError(f"{what} is wanted, not '{text}'")
    found = float(match[1]) * units[match[2] or usual]
    if not math.isfinite(found):
        raise InputError(f"{what} is wanted, not '{text}'")
    return found
