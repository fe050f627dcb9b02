"""An evaluation's figures as rows of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midstream.metrics import known_metrics
from midstream.wording import counted

if TYPE_CHECKING:
    from midstream.evaluation.run import EvalResult

COLUMNS = ("measure", "value", "")
_TITLES = {"ap": "AP", "ap50": "AP50"}


def title_of(result: EvalResult) -> str:
    """What was measured: network, images, codec with its options."""
    chosen = ", ".join(f"{key} {value}" for key, value in result.codec.items())
    return f"{result.model}, {counted(result.images, 'image')}: {chosen}"


def rows_of(result: EvalResult) -> list[list[str]]:
    """Scores, rates and times: a name, a value and a remark each."""
    titles = _TITLES | {name: metric.title for name, metric in known_metrics().items() if name not in _TITLES}
    scores = [
        [titles[name], f"{value:.2f}", f"uncompressed {result.scores_uncompressed[name]:.2f}"]
        for name, value in result.scores.items()
    ]
    front = "cached" if result.front_ms is None else f"{result.front_ms:.1f}"
    beside = f"of it not payload {result.side_bytes_per_image:,.0f}"
    return [
        *scores,
        ["bytes per image", f"{result.bytes_per_image:,.0f}", beside],
        ["bits per element", f"{result.bits_per_element:.3f}", f"{result.elements_per_image:,.0f} elements"],
        ["ratio to input", f"{result.ratio_to_input:.3f}", "input as 8-bit RGB at the network's size, or as float32"],
        ["encode / decode ms", f"{result.encode_ms:.1f} / {result.decode_ms:.1f}", ""],
        ["front / back ms", f"{front} / {result.back_ms:.1f}", ""],
    ]


def as_text(result: EvalResult) -> str:
    """Title, rows in columns, what computed the scores, and what speaks against the figures."""
    rows = rows_of(result)
    name, value = (max(len(row[at]) for row in rows) for at in (0, 1))
    lines = [f"{row[0]:{name}}  {row[1]:>{value}}  {row[2]}".rstrip() for row in rows]
    return "\n".join([title_of(result), *lines, result.metric, *result.notes])
