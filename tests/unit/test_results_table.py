"""The README's table of results is what its script makes of benchmarks/results.json, and its figures are documented."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from tests.helpers.loading import load_script

ROOT = Path(__file__).parents[2]
SCRIPT = load_script(ROOT / "benchmarks" / "results_table.py")
README = (ROOT / "README.md").read_text()
RESULTS: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results.json").read_text())


def test_readme_and_json_agree() -> None:
    assert SCRIPT.replaced(README) == README


def test_a_figure_that_is_edited_alone_is_seen() -> None:
    changed = json.loads(json.dumps(RESULTS))
    changed["rows"][0]["bytes"] += 100
    assert SCRIPT.table(changed) not in README
    edited = README.replace(f"{RESULTS['rows'][0]['bytes']:,}", f"{changed['rows'][0]['bytes']:,}")
    assert edited != README
    assert SCRIPT.replaced(edited) != edited


def test_every_figure_stands_in_the_benchmarks() -> None:
    text = (ROOT / "docs/benchmarks.md").read_text()
    places = [line for line in text.splitlines() if line.startswith("|")] + text.split("\n\n")
    for row in RESULTS["rows"]:
        assert any(f"{row['ap']:.2f}" in place and f"{row['bytes']:,}" in place for place in places), row


def test_every_figure_has_its_date() -> None:
    for row in RESULTS["rows"]:
        assert datetime.date(2026, 11, 1) <= datetime.date.fromisoformat(row["date"]) <= datetime.date(2100, 1, 1)
