"""The README's table of results, from benchmarks/results.json, which holds the command and the date of each figure.

python benchmarks/results_table.py   # writes it into the README, between its two markers
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
README = _ROOT / "README.md"
RESULTS = _ROOT / "benchmarks" / "results.json"
_BEGIN, _END = "<!-- results: made by benchmarks/results_table.py -->\n", "<!-- end of results -->"


def table(results: dict[str, Any]) -> str:
    lines = [
        "| network, codec | AP | AP uncompressed | bytes per image | bits per element | of the 8-bit input |",
        "|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        network = results["networks"][row["network"]]
        cells = [
            f"{row['network']}, {row['codec']}", f"{row['ap']:.2f}", f"{network['ap']:.2f}", f"{row['bytes']:,}",
            f"{8 * row['bytes'] / network['elements']:.2f}", f"{row['bytes'] / network['input_bytes']:.3f}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def replaced(readme: str) -> str:
    """The README with the table as it should be. Raises ValueError where a marker is missing."""
    begin, end = readme.index(_BEGIN) + len(_BEGIN), readme.index(_END)
    return f"{readme[:begin]}\n{table(json.loads(RESULTS.read_text()))}\n{readme[end:]}"


if __name__ == "__main__":
    README.write_text(replaced(README.read_text()))
