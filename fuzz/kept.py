"""Inputs that the repository keeps: kept/TARGET.tar.xz, as few as reach all that fuzzing has reached so far."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "kept"


def targets() -> list[str]:
    """Those that have inputs."""
    return sorted(path.name.removesuffix(".tar.xz") for path in FOLDER.glob("*.tar.xz"))


def read(target: str) -> dict[str, bytes]:
    """The inputs of a target by name."""
    with tarfile.open(FOLDER / f"{target}.tar.xz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def write(target: str, inputs: Iterable[bytes]) -> Path:
    """Keep these and no others; the same inputs give the same file."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{target}.tar.xz"
    named = {hashlib.sha256(data).hexdigest()[:16]: data for data in inputs}
    with tarfile.open(path, "w:xz", format=tarfile.USTAR_FORMAT, preset=9) as archive:
        for name, data in sorted(named.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def unpack(target: str, folder: Path) -> int:
    """Put the inputs of a target into a folder, which libFuzzer reads; how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = read(target) if target in targets() else {}
    for name, data in inputs.items():
        (folder / name).write_bytes(data)
    return len(inputs)
