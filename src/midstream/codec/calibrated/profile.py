"""The profile: what calibration has learnt of a network, in one safetensors file (docs/profile.md)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from midstream.cached import cached_property
from midstream.codec.calibrated.document import QUALITIES, About
from midstream.codec.calibrated.parts import GroupPart
from midstream.codec.calibrated.prediction import Decoded
from midstream.codec.calibrated.profile_file import read_profile, write_profile
from midstream.codec.calibrated.transform import Size, grids_of
from midstream.errors import InputError
from midstream.files import read_bytes, write_bytes

#: No network's profile is larger.
MOST_PROFILE_BYTES = 8_000_000
#: Of the SHA-256 of the file, what a bitstream carries.
HASH_BYTES = 8
#: Sizes of pyramids for which it is remembered how their levels lie over one another.
_SIZES_REMEMBERED = 64


@dataclass(frozen=True)
class Profile:
    """A calibrated network. Make one with `midstream calibrate`; `Profile.read` reads the file."""

    # Two profiles are the same when their files are.
    about: About = field(compare=False)
    groups: tuple[GroupPart, ...] = field(compare=False)
    data: bytes

    def __repr__(self) -> str:
        levels = " ".join(self.about.order)
        return f"Profile({self.name}, network '{self.about.network}', levels {levels}, {len(self.data):,} bytes)"

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the file, [32]."""
        return hashlib.sha256(self.data).digest()

    @property
    def key(self) -> bytes:
        """What bitstreams carry of it, [8]."""
        return self.digest[:HASH_BYTES]

    @property
    def name(self) -> str:
        """The key as people read it."""
        return self.key.hex()

    def __getstate__(self) -> dict[str, Any]:
        """The fields: what is made of them is made again."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def sizes(self) -> dict[str, Size]:
        """(H, W) of each level in the calibration's images, in the pyramid's order; not to be written to."""
        found = {level.name: level.size for group in self.about.groups for level in group.levels}
        return {name: found[name] for name in self.about.order}

    @cached_property
    def channels(self) -> dict[str, int]:
        """Of each level; not to be written to."""
        return {level.name: level.channels for group in self.about.groups for level in group.levels}

    @cached_property
    def transform_size(self) -> int:
        """Numbers in what makes levels of coefficients, of all groups."""
        return sum(group.transform_size for group in self.groups)

    @property
    def layers(self) -> int:
        """How many groups, from the first on, have an importance map of their own, over the same cells."""
        return self.about.layer_count

    def nothing_decoded(self) -> Decoded:
        """What is known before the first group is decoded."""
        return Decoded(self.groups)

    @cached_property
    def grids(self) -> Callable[[tuple[Size, ...]], Sequence[Size]]:
        """Each group's grid by the levels' sizes, in the profile's order; ValueError as `grids_of` raises it.

        What was asked for lately is remembered, by all threads.
        """

        groups, order = self.groups, self.about.order  # what refers to the profile itself would keep it

        @lru_cache(maxsize=_SIZES_REMEMBERED)
        def grids(sizes: tuple[Size, ...]) -> Sequence[Size]:
            return grids_of(groups, dict(zip(order, sizes, strict=True)))

        return grids

    @classmethod
    def read(cls, path: str | Path) -> Profile:
        """From a file. Raises InputError."""
        return cls.parse(read_bytes(str(path), MOST_PROFILE_BYTES + 1), str(path))

    @classmethod
    def of(cls, value: object) -> Profile:
        """A profile, or the one in a file of this name. Raises InputError for anything else."""
        if isinstance(value, Profile):
            return value
        if not isinstance(value, str | Path):
            raise InputError(f"a profile is a midstream.Profile or the name of its file, not {type(value).__name__}")
        return cls.read(value)

    @classmethod
    def parse(cls, data: bytes, origin: str) -> Profile:
        """From the content of a file; `origin` is named in errors. Raises InputError for what is not a profile."""
        if len(data) > MOST_PROFILE_BYTES:
            raise InputError(f"{origin}: not a profile: more than {MOST_PROFILE_BYTES:,} bytes")
        return cls(*read_profile(data, origin), bytes(data))

    def write(self, path: str | Path) -> None:
        """To a file, which appears whole or not at all. Raises InputError."""
        write_bytes(str(path), self.data)

    def check_network(self, network: str, cut: str) -> None:
        """Refuse a network that the profile was not made on, or another cut of it. Raises InputError.

        Args:
            network: its name.
            cut: the fingerprint of its front and back.
        """
        if self.about.cut != cut:
            raise InputError(
                f"the profile {self.name} was made for {self.about.network}, cut graph {self.about.cut[:16]}; this is "
                f"{network}, cut graph {cut[:16]}: calibrate it, or use the profile's network"
            )

    def step_of(self, quality: int) -> int:
        """The step's index for a quality, 1 to 100. Raises InputError."""
        if isinstance(quality, bool) or not isinstance(quality, int) or quality not in QUALITIES:
            raise InputError(f"quality is a whole number from {QUALITIES[0]} to {QUALITIES[-1]}, not {quality!r}")
        return self.about.qualities[quality - 1]

    def quality_of(self, step: int) -> int:
        """The quality, 1 to 100, whose step is nearest to this one."""
        return min(QUALITIES, key=lambda quality: abs(self.about.qualities[quality - 1] - step))

    def loss_of(self, step: int) -> float:
        """The estimated relative loss at a step, 0 to 1: in equal ratios between measured ones, none beyond them."""
        points = self.about.curve
        for finer, coarser in pairwise(points):
            if finer.step < step < coarser.step and finer.loss > 0:
                share = (step - finer.step) / (coarser.step - finer.step)
                return float(finer.loss * (coarser.loss / finer.loss) ** share)
        return next((point.loss for point in points if point.step >= step), points[-1].loss)

    def step_for_loss(self, loss: float) -> int:
        """The coarsest step whose estimated relative loss of accuracy is at most `loss`, 0 to 1. Raises InputError."""
        if not 0 < loss < 1:
            raise InputError(f"the loss is a share of the accuracy, above 0 and below 1 (or 1% for 0.01), not {loss:g}")
        finest, coarsest = self.about.curve[0], self.about.curve[-1]
        if finest.loss > loss:
            least = math.ceil(finest.loss * 1e4 - 1e-6) / 1e4  # rounded up, so that it can be asked for
            raise InputError(
                f"no step of this profile has an estimated loss of {100 * loss:.3g}%: the least is {least:.2%}; allow "
                "as much, or calibrate with more images or for longer, or at another cut"
            )
        return max(step for step in range(finest.step, coarsest.step + 1) if self.loss_of(step) <= loss)


def pack_profile(about: About, tensors: Mapping[str, NDArray[Any]]) -> Profile:
    """A profile from its document and its tensors. Raises InputError for more than MOST_PROFILE_BYTES."""
    return Profile.parse(write_profile(about, tensors), "the new profile")
