"""Try what is released with nothing else installed: `python tests/wheels.py WHEEL`, in an environment that has `build`.

Every Python from 3.11 on that is found here gets an empty environment for tests/smoke.py: with WHEEL where that is for
it, else with one that it builds from the source distribution, which those after it share where it is for them, too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_OUT = _ROOT / "build" / "dist"
#: Versions that pyproject.toml names; the wheel of the second is for all that follow.
_VERSIONS = ("3.11", "3.12", "3.13", "3.14")
_FIRST_SHARED = "3.12"
#: What an install may take on the disk with all that it needs.
_MOST_MEGABYTES = 130


def run(*command: object) -> str:
    """What the command writes to standard output, in the project's folder; ends the program when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout.strip()


def interpreter(version: str) -> str | None:
    """One of this version: this one, or from the path, or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [sys.executable, f"python{version}", *map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))]
    question = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in filter(shutil.which, found):  # pyenv puts names on the path that only say which versions it has
        done = subprocess.run([candidate, "-c", question], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    return None


def fits(wheel: Path, version: str) -> bool:
    """Whether the wheel is for this version of Python."""
    python, abi = wheel.stem.split("-")[2:4]
    if abi == "abi3":
        return _VERSIONS.index(version) >= _VERSIONS.index(_FIRST_SHARED)
    return python == f"cp{version.replace('.', '')}"


def environment(python: str, name: str) -> Path:
    """The interpreter of an empty environment."""
    folder = _ROOT / "build" / name
    run(python, "-m", "venv", "--clear", folder)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def build(python: str, sdist: Path) -> Path:
    """The wheel that this interpreter makes of the source distribution, with a build environment of its own."""
    before = set(_OUT.glob("*.whl"))
    run(environment(python, "builder"), "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", _OUT, sdist)
    (made,) = set(_OUT.glob("*.whl")) - before
    return made


def smoke(version: str, python: str, wheel: Path) -> str:
    """Install the wheel with what it needs, run the smoke test, hold its size to the bound; a line of what was seen."""
    empty = environment(python, f"smoke-{version}")
    run(empty, "-m", "pip", "install", "--quiet", wheel)
    done = run(empty, _ROOT / "tests" / "smoke.py")
    run(empty.with_name("midstream"), "--version")
    run(empty, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools")
    packages = Path(run(empty, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"))
    size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file()) / 1e6
    if size > _MOST_MEGABYTES:
        sys.exit(f"{wheel.name} takes {size:.0f} MB with all that it needs, more than {_MOST_MEGABYTES}")
    return f"{done}: {wheel.name}, {size:.0f} MB with all that it needs"


def main(wheel: str) -> None:
    """Build the source distribution, and try it and its wheels, as many at once as there are cores."""
    shutil.rmtree(_OUT, ignore_errors=True)
    run(sys.executable, "-m", "build", "--sdist", "--outdir", _OUT)
    (sdist,) = _OUT.glob("*.tar.gz")
    wheels = [Path(wheel)]
    with ThreadPoolExecutor(os.cpu_count()) as cores:
        tried = []
        for version in _VERSIONS:
            python = interpreter(version)
            if python is None:
                print(f"Python {version} is not here: not tried")
                continue
            if not any(fits(each, version) for each in wheels):
                wheels.append(build(python, sdist))
            chosen = next(each for each in wheels if fits(each, version))
            tried.append(cores.submit(smoke, version, python, chosen))
        for each in tried:
            print(each.result())
    print(f"{len(tried)} passed, 0 failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
