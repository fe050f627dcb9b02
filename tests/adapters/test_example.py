"""The example for torch networks runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "torch_features.py"


def test_more_symbols_cost_more_and_are_nearer():
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"symbols: ([\d,]+) bytes, logits off by ([\d.]+)%", done.stdout)
    sizes = [int(size.replace(",", "")) for size, _ in rows]
    errors = [float(error) for _, error in rows]
    assert len(rows) == 3
    assert sizes == sorted(sizes, reverse=True)
    assert errors[0] == min(errors) < 1
