"""imagecodecs, the package behind most codecs here that ffmpeg and OpenCV do not have."""

from __future__ import annotations

from types import ModuleType

from midstream.errors import CodecError, install_command


def imagecodecs(codec: str) -> ModuleType:
    """The package, for `codec`. Raises CodecError."""
    try:
        import imagecodecs as package
    except ImportError as error:
        raise CodecError(f"{codec} needs the package imagecodecs: {install_command('compare')}") from error
    return package


def library_versions(codec: str, *libraries: str) -> dict[str, str]:
    """Of imagecodecs and of libraries within it, such as libjxl. Raises CodecError."""
    package = imagecodecs(codec)
    known = dict(part.strip().rpartition("-")[::2] for part in package.version().split(","))
    return {"imagecodecs": package.__version__, **{name: known.get(name, "unknown") for name in libraries}}
