"""Kinds of values that the parts of a model description share, with bounds beyond all networks known to us.

The bounds are there so that no number in a file is an allocation or a loop.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

#: Of a pyramid, or of a head.
LEVELS = 64
#: Of a name. No control characters: they would drive a terminal.
_NAME_CHARACTERS = 200

_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f]+$"
Name = Annotated[str, Field(min_length=1, max_length=_NAME_CHARACTERS, pattern=_PRINTABLE)]
#: As long as paths are on Linux.
PathName = Annotated[str, Field(min_length=1, max_length=4096, pattern=_PRINTABLE)]
#: A tensor's name can be the whole path through a program.
TensorName = Annotated[str, Field(min_length=1, max_length=10_000)]
#: TOML has booleans: "yes" is none.
Flag = Annotated[bool, Field(strict=True)]
Side = Annotated[int, Field(gt=0, le=1 << 14, strict=True)]
Stride = Annotated[int, Field(gt=0, le=1 << 14, strict=True)]
Value = Annotated[float, Field(ge=-1e6, le=1e6, strict=True)]
Deviation = Annotated[float, Field(ge=1e-6, le=1e6, strict=True)]


class Strict(BaseModel):
    """A table of a description: no unknown fields, no infinities, not to be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
