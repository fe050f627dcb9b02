"""The pyramids that a calibration sees: of images, and of their mirror images; kept in a folder meanwhile."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from midstream.calibration.settings import LEAST_IMAGES, CalibrationSettings
from midstream.data import ImageFile, read_image
from midstream.data.reading import Skipped, read_or_skip
from midstream.errors import InputError
from midstream.files import read_tensors, write_tensors
from midstream.halves.cache import FrontCache
from midstream.halves.levels import sent
from midstream.models import FloatPyramid, Image, SplitModel
from midstream.version import __version__
from midstream.wording import counted

#: One of so many images is not fitted to, but measured on.
HELD_OUT = 4
#: Sides of a part of an image beside those of the whole, and pixels that they have at least.
_PART_SIDES, _LEAST_SIDE = (0.4, 0.9), 32
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class View:
    """An image as it is or mirrored, whole or a part of it.

    Attributes:
        size: (height, width) of what is seen.
        corner: (top, left) of a part, before it is mirrored; None for the whole image.
    """

    file: ImageFile
    flipped: bool
    size: tuple[int, int]
    corner: tuple[int, int] | None = None

    @property
    def variant(self) -> str:
        """What is made of the image, for FrontCache."""
        part = "" if self.corner is None else "part {} {} {} {}\n".format(*self.corner, *self.size)
        return "mirrored\n" * self.flipped + part

    def seen(self, pixels: Image) -> Image:
        """Of the image's pixels."""
        if self.corner is not None:
            pixels = pixels[*(slice(at, at + side) for at, side in zip(self.corner, self.size, strict=True))]
        return np.ascontiguousarray(pixels[:, ::-1] if self.flipped else pixels)


class Views:
    """Reads images, runs the front, and keeps the pyramids.

    Attributes:
        fit: views to fit to; `plain` of them are not mirrored.
        parts: of the images that are fitted to, a part each; the importance map is learnt from them, too.
        held_out: images to measure on.
        different: how many of the images are not the same file under another name.
        started: when the reading of images began, by the monotonic clock.
        skipped: path of each file that cannot be read, and why; with `strict` the first raises InputError.
    """

    def __init__(
        self,
        model: SplitModel,
        files: Sequence[ImageFile],
        folder: Path,
        settings: CalibrationSettings,
        strict: bool = False,
    ) -> None:
        self.started = time.monotonic()
        self._model = model
        self._folder = folder
        self._tools, self._seed = settings.used_for(model).tools, settings.seed
        rng = np.random.default_rng(settings.seed)
        self.skipped: list[Skipped] = []
        readable: list[View] = []
        for number in rng.permutation(len(files)):
            if len(readable) == settings.images:
                break
            view = self._readable(files[number], strict)
            if view is not None:
                readable.append(view)
        if len(readable) < LEAST_IMAGES:
            why = f"; {len(self.skipped)} cannot be read, such as {self.skipped[0][0]}" if self.skipped else ""
            raise InputError(
                f"{counted(len(readable), 'image')} to calibrate on; at least {LEAST_IMAGES} are needed{why}"
            )
        self._cache = FrontCache(folder, model)  # after all refusals: it makes the folder
        self._use(readable)

    def keep(self, count: int) -> None:
        """Go on with the first `count` images, as if no more had been asked for."""
        self._use(self._readable_ones[:count])

    def _use(self, chosen: list[View]) -> None:
        digest, ones = hashlib.sha256(), set()
        for view in chosen:
            data = view.file.path.read_bytes()
            digest.update(data)
            ones.add(hashlib.sha256(data).digest())
        self.image_hash, self.different = digest.hexdigest(), len(ones)
        self._readable_ones = chosen
        self.count = len(chosen)
        self.held_out = chosen[::HELD_OUT]
        self.plain = [view for i, view in enumerate(chosen) if i % HELD_OUT]
        mirrored = [View(v.file, True, v.size) for v in self.plain] if self._tools.flips else []
        self.fit = self.plain + mirrored
        rng = np.random.default_rng(self._seed)
        self.parts = [_part(view, rng) for view in self.fit] if self._tools.importance else []

    def _readable(self, file: ImageFile, strict: bool) -> View | None:
        pixels = read_or_skip(file.path, self.skipped, strict)
        return None if pixels is None else View(file, False, (pixels.shape[0], pixels.shape[1]))

    @property
    def measured(self) -> list[View]:
        """The held-out images and their mirror images, which say how far the network repeats itself (loss.py)."""
        return self.held_out + [View(view.file, True, view.size) for view in self.held_out]

    @property
    def all(self) -> list[View]:
        """All views."""
        return [*self.fit, *self.parts, *self.measured]

    def prepare(self, advance: Callable[[], None]) -> None:
        """Run the front on all views, once."""
        for view in self.all:
            self.full(view)
            advance()

    def full(self, view: View) -> FloatPyramid:
        """The whole pyramid of a view, derived levels included."""
        return self._cache.pyramid(view.file.path, lambda: view.seen(read_image(view.file.path)), view.variant)

    def sent(self, view: View) -> FloatPyramid:
        """The levels that are coded."""
        return sent(self._model, self.full(view))

    def kept(
        self, what: str, view: View | None, make: Callable[[], dict[str, NDArray[_Number]]]
    ) -> dict[str, NDArray[_Number]]:
        """Numbers about a view, or about all of them, that an earlier run left in the folder, or that `make` makes now.

        `what` has all that they depend on besides network, images and release.
        """
        name = "" if view is None else view.file.path.name
        about = f"{what}\n{self._model.identity}\n{self.image_hash}\n{name}\n{__version__}"
        path = self._folder / f"{hashlib.sha256(about.encode()).hexdigest()}.numbers"
        if path.exists():
            try:
                found, about = read_tensors(path)
                if about == [what, _digest(found)]:
                    return found
            except InputError:  # damaged, as where the numbers are not those that were written: made again
                pass
        made = make()
        write_tensors(path, made, [what, _digest(made)])
        return made


def _digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _part(view: View, rng: np.random.Generator) -> View:
    """A part of a view's image, which `rng` chooses."""
    share = rng.uniform(*_PART_SIDES)
    size = [max(round(share * side), min(side, _LEAST_SIDE)) for side in view.size]
    top, left = (int(rng.integers(0, whole - side + 1)) for whole, side in zip(view.size, size, strict=True))
    return View(view.file, view.flipped, (size[0], size[1]), (top, left))
