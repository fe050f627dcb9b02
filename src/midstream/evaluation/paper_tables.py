"""The paper's Tables 1 to 3, from real shapes, real bitstreams and real accuracies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from midstream.codec.api import encode
from midstream.codec.paper.options import Paper
from midstream.data import Dataset
from midstream.errors import InputError
from midstream.evaluation.run import EvalResult, run
from midstream.models import SplitModel

_KB = 1024
#: The coders of the tables: what the paper has, and the entropy that it could have.
TABLE_CODERS = ("raw", "prefix", "fast")
#: The z of the paper's experiments.
PAPER_Z = (0.5, 1.0, 1.5, 2.0)


class SizeRow(BaseModel):
    """A row of Table 1 or 2.

    Attributes:
        kb, kb_at_least: elements times bits, in units of 1,024 bytes; `kb_at_least` for a prefix code of 1 to 2 bits.
        ratio, ratio_at_least: over the input image as 8-bit RGB, cut (not rounded) to two decimals as in the paper.
        written: bytes actually written, by coder; of all levels, also one that a decoder could derive.
    """

    data: str
    shapes: list[tuple[int, int, int]]
    elements: int
    bits: str
    kb: float
    kb_at_least: float | None = None
    ratio: float | None = None
    ratio_at_least: float | None = None
    written: dict[str, int] = {}


class AccuracyRow(BaseModel):
    """A row of Table 3: `result` has accuracy and bytes; `ratio` and `ratio_at_least` are the paper's, from bits."""

    features: str
    thresholds: str
    bits: str
    ratio: float
    ratio_at_least: float | None = None
    result: EvalResult | None = None
    ap: float
    segm_ap: float | None


def stand_in_pyramid(shapes: Mapping[str, tuple[int, int, int]], seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Independent standard normal features of the given shapes, for sizes where no network is at hand."""
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def truncated_ratio(part: float, whole: float) -> float:
    """part / whole cut to two decimals, as the paper prints its ratios."""
    return int(part * 100 / whole + 1e-9) / 100


def size_rows(
    pyramid: Mapping[str, NDArray[np.float32]], input_size: tuple[int, int], on_row: Callable[[], None] = lambda: None
) -> list[SizeRow]:
    """Tables 1 and 2 for a pyramid (all levels) of an image that the network takes at (height, width)."""
    height, width = input_size
    image = height * width * 3
    shapes = [(v.shape[2], v.shape[1], v.shape[0]) for v in pyramid.values()]
    elements = sum(values.size for values in pyramid.values())

    def row(data: str, bits: int, least: int | None, codec: Paper | None) -> SizeRow:
        size = elements * bits / 8
        at_least = None if least is None else elements * least / 8
        written = {} if codec is None else {c: _written(pyramid, codec, c) for c in TABLE_CODERS}
        on_row()
        return SizeRow(
            data=data, shapes=shapes, elements=elements, bits=f"{least} to {bits}" if least else str(bits),
            kb=size / _KB, kb_at_least=None if at_least is None else at_least / _KB,
            ratio=truncated_ratio(size, image),
            ratio_at_least=None if at_least is None else truncated_ratio(at_least, image), written=written,
        )  # fmt: skip

    source = SizeRow(data="input image", shapes=[(width, height, 3)], elements=image, bits="8", kb=image / _KB)
    return [
        source,
        row("original features", 32, None, None),
        row("converted, 8-bit image", 8, None, Paper(symbols=256)),
        row("converted, 4 symbols", 2, None, Paper(symbols=4)),
        row("converted, 3 symbols", 2, 1, Paper(symbols=3)),
    ]


def _written(pyramid: Mapping[str, Any], codec: Paper, coder: str) -> int:
    return len(encode(pyramid, codec.changed(coder=coder)))


def table_3_codecs() -> list[Paper]:
    """The codecs of Table 3, and the optimum that the paper asks for."""
    by_z = [Paper(symbols=n, z=z) for n in (4, 3) for z in PAPER_Z]
    optimal = [Paper(symbols=n, thresholds="lloyd-max") for n in (4, 3)]
    return [Paper(symbols=256), *by_z, *optimal]


def _box_ap(ap: float | None) -> float:
    if ap is None:
        raise InputError("the paper's Table 3 is of detectors: this network finds no boxes")
    return ap


def accuracy_rows(
    model: SplitModel,
    dataset: Dataset,
    cache: Path | None,
    on_image: Callable[[], None] = lambda: None,
    strict: bool = False,
) -> list[AccuracyRow]:
    """Table 3 of a network on a data set; arguments and errors as `run` has them."""
    others = [coder for coder in TABLE_CODERS if coder != "fast"]
    results = run(model, dataset, table_3_codecs(), cache, also_coders=others, on_image=on_image, strict=strict)
    first = results[0]
    elements, image = first.elements_per_image, first.bytes_per_image / first.ratio_to_input

    def ratio(bits: int) -> float:
        return truncated_ratio(elements * bits / 8, image)

    original = AccuracyRow(
        features="original, 32 bit", thresholds="-", bits="32", ratio=ratio(32), ap=_box_ap(first.ap_uncompressed),
        segm_ap=first.segm_ap_uncompressed,
    )  # fmt: skip
    rows = [original]
    for result in results:
        n = result.codec["symbols"]
        bits = 8 if n == 256 else 2
        rows.append(
            AccuracyRow(
                features="converted, 8 bit" if n == 256 else f"{n} symbols",
                thresholds=f"z = {result.codec['z']:g}" if "z" in result.codec else result.codec["thresholds"],
                bits="1 to 2" if n == 3 else str(bits),
                ratio=ratio(bits),
                ratio_at_least=ratio(1) if n == 3 else None,
                result=result,
                ap=_box_ap(result.ap),
                segm_ap=result.segm_ap,
            )
        )
    return rows
