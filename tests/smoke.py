"""What an install does with the core alone: `python tests/smoke.py`, where nothing but midstream is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import midstream as ms
from midstream.cli.commands import COMMANDS

#: Arguments with which a command gets as far as what it lacks.
LACKING = {
    "demo": [],
    "inspect": ["coded.mids", "--map", "p3:0", "-o", "map.png"],
    "init": ["network.onnx"],
    "split": ["network.onnx", "--at", "p3", "-o", "parts"],
    "extract": ["photo.jpg", "-m", "picodet-s-416", "-o", "pyramids"],
    "models": [],
    "calibrate": ["-m", "picodet-s-416", "--images", "photos", "-o", "network.profile"],
    "train": ["-m", "picodet-s-416", "--images", "photos", "-o", "network.profile"],
    "eval": ["-m", "picodet-s-416", "-d", "photos"],
    "compare": ["-m", "picodet-s-416", "-d", "photos", "--test", "paper", "-o", "results"],
    "scenes": ["-o", "scenes"],
    "serve": ["-m", "picodet-s-416"],
    "push": ["photos", "--to", "127.0.0.1:8440", "-m", "picodet-s-416", "-o", "found.jsonl"],
    "video": ["info", "clip.midv"],
    "watch": ["clip.mp4", "-m", "picodet-s-416"],
    "batch": ["read", "coded"],
    "paper": ["sizes"],
}
#: Public packages that need an extra, a name in each, and the extra.
ROOMS = {
    "calibration": ("calibrate", "networks"),
    "compare": ("compare", "compare"),
    "data": ("load", "networks"),
    "evaluation": ("run", "networks"),
    "models": ("load", "networks"),
    "serve": ("Client", "client"),
}


#: Tables have lines that Windows' usual encodings do not.
_ENVIRONMENT = {**os.environ, "PYTHONUTF8": "1"}


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """`midstream` with these arguments, in the folder, which must leave with `code`."""
    command = [sys.executable, "-m", "midstream", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=_ENVIRONMENT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == code, (arguments, done)
    return done


def core(folder: Path) -> None:
    """Encode, decode, inspect and bench; also the list of codecs, the help and the version."""
    rng = np.random.default_rng(0)
    pyramid = {name: rng.standard_normal((8, side, side), np.float32) for name, side in (("p3", 16), ("p4", 8))}
    np.savez(folder / "pyramid.npz", **pyramid)
    run(folder, "encode", "pyramid.npz", "-o", "coded.mids", "--symbols", "4", "--z", "1.5")
    data = (folder / "coded.mids").read_bytes()
    assert data == ms.encode(pyramid, symbols=4, z=1.5)
    run(folder, "decode", "coded.mids", "-o", "decoded.npz")
    with np.load(folder / "decoded.npz") as decoded:
        for name, values in ms.decode(data).items():
            assert np.array_equal(decoded[name], values)
            assert values.shape == pyramid[name].shape
    assert json.loads(run(folder, "inspect", "coded.mids", "--json").stdout)["total_bytes"] == len(data)
    assert json.loads(run(folder, "bench", "--shape", "8x16x16", "--json").stdout)["rows"]
    assert "calibrated" in run(folder, "codecs").stdout
    assert run(folder, "--version").stdout.strip() == ms.__version__
    shown = run(folder, "--help").stdout
    assert all(f" {name} " in shown for name in COMMANDS)


def missing(folder: Path) -> None:
    """Every other command says in one line which extra it needs, and so does every package."""
    for name, arguments in LACKING.items():
        lines = run(folder, name, *arguments, code=2).stderr.splitlines()
        assert len(lines) == 1, (name, lines)
        assert f"needs the extra '{COMMANDS[name].extra}': pip install" in lines[0], lines
    for package, (name, extra) in ROOMS.items():
        said = lack(package, name)
        assert said.startswith(f"midstream.{package} needs the extra '{extra}': pip install"), said
    for name in ("calibrate", "evaluate", "load_model", "split"):
        assert "needs the extra 'networks': pip install" in lack("", name), name


def lack(package: str, name: str) -> str:
    """What is said to whoever asks for this name of the package, or of midstream itself."""
    try:
        getattr(getattr(ms, package) if package else ms, name)
    except ImportError as error:
        return str(error)
    raise AssertionError(f"midstream.{package}.{name} needs no extra")


def light() -> None:
    """What `import midstream` does not load, although the core has it."""
    code = "import sys, midstream; print({'typer', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n", done.stdout


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        core(Path(scratch))
        missing(Path(scratch))
    light()
    print(f"midstream {ms.__version__} does its work on Python {sys.version.split()[0]}")
