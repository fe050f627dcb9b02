"""Table 3 as Markdown, from the JSON of `midstream paper accuracy --json` on standard input.

midstream paper accuracy --model M --data D --json | python benchmarks/paper_table.py
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    print("| features | thresholds | AP | ratio by bits | raw, bytes | prefix, bytes | fast, bytes | ratio by fast |")
    print("|---|---|---|---|---|---|---|---|")
    for row in json.load(sys.stdin)["rows"]:
        result = row["result"]
        least = f"{row['ratio_at_least']:.2f} to " if row["ratio_at_least"] else ""
        cells = [row["features"], row["thresholds"], f"{row['ap']:.2f}", f"{least}{row['ratio']:.2f}"]
        if result:
            cells += [f"{result['bytes_by_coder'][coder]:,.0f}" for coder in ("raw", "prefix", "fast")]
            cells.append(f"{result['ratio_to_input']:.3f}")
        else:
            cells += ["-"] * 4
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
