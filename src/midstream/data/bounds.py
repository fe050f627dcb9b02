"""What numbers and texts of somebody else's labels may be: fields of models that read them."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field, FiniteFloat

from midstream.wording import readable

#: Pixels along a side of an image, and from its corner to wherever a box begins.
MOST_SIDE = 1_000_000
#: Frames a second.
Rate = Annotated[FiniteFloat, Field(ge=1e-3, le=1e6)]
#: Of a point in pixels.
Place = Annotated[FiniteFloat, Field(ge=-MOST_SIDE, le=MOST_SIDE)]
#: Of a box in pixels.
Side = Annotated[FiniteFloat, Field(ge=0, le=MOST_SIDE)]
#: Left, top, width, height in pixels.
Box: TypeAlias = tuple[Place, Place, Side, Side]
#: Of an object in pixels.
Area = Annotated[FiniteFloat, Field(ge=0, le=MOST_SIDE * MOST_SIDE)]
#: Of an image in whole pixels; programs that do not know it write 0.
Pixels = Annotated[int, Field(ge=0, le=MOST_SIDE)]
#: An id or a number: what fits into 64 bits.
Number = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
#: What somebody wrote for people.
Readable = Annotated[str, AfterValidator(readable)]
