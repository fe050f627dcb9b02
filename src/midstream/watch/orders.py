"""What a tab may send: small JSON objects, checked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from midstream.errors import InputError
from midstream.watch.controls import Controls


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Next(_Order):
    """The tab has shown what it got."""

    do: Literal["next"]


class Ask(_Order):
    """Something to be done once."""

    do: Literal["key", "again"]


class Switch(_Order):
    """Something to be on or off."""

    do: Literal["pause", "uncoded"]
    value: bool


class Amount(_Order):
    """A quality, or bits a second."""

    do: Literal["quality", "bitrate"]
    value: Annotated[float, Field(allow_inf_nan=False)]


Order = Annotated[Next | Ask | Switch | Amount, Field(discriminator="do")]
_ORDER: TypeAdapter[Next | Ask | Switch | Amount] = TypeAdapter(Order)


def read_order(text: str) -> Next | Ask | Switch | Amount:
    """Raises InputError for anything else."""
    try:
        return _ORDER.validate_json(text)
    except ValidationError as error:
        raise InputError("this is no order that the page sends") from error


def carry_out(order: Ask | Switch | Amount, controls: Controls) -> None:
    """Raises InputError for what this codec does not have, or an amount out of range."""
    match order:
        case Amount(do="quality"):
            controls.set_quality(order.value)
        case Amount():
            controls.set_bitrate(order.value)
        case Switch(do="pause"):
            controls.pause(order.value)
        case Switch():
            controls.show_uncoded(order.value)
        case Ask(do="key"):
            controls.ask_key()
        case Ask():
            controls.ask_again()
