"""What people ask for on the page, from any tab, for the threads that read and compute."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from midstream.codec.base import Codec
from midstream.errors import InputError

#: Of the page's sliders and of what is sent in their place: bits a second.
LEAST_BITRATE, MOST_BITRATE = 8e3, 100e6
#: Of every codec whose streams have a quality.
LEAST_QUALITY, MOST_QUALITY = 1, 100


@dataclass(frozen=True)
class Target:
    """How small or how good units are to be.

    Attributes:
        quality: of the codec; None for what its options say.
        bitrate: instead of it, bits a second.
    """

    quality: int | None = None
    bitrate: float | None = None


@dataclass(frozen=True)
class Steerable:
    """What of a codec can be changed while it runs."""

    quality: bool
    bitrate: bool

    @classmethod
    def of(cls, codec: Codec) -> Steerable:
        """From its options."""
        return cls("quality" in codec.targets, bool(codec.targets))


class Controls:
    """The state of all knobs; each method may be called from any thread."""

    def __init__(self, target: Target, can: Steerable) -> None:
        """Begin with what the command line says."""
        self.can = can
        self._changed = threading.Condition()
        self._target, self._key = target, False
        self._paused = self._again = self._closed = self._beside_uncoded = False

    @property
    def target(self) -> Target:
        """What is asked for now."""
        return self._target

    @property
    def paused(self) -> bool:
        """Whether the source waits."""
        return self._paused

    @property
    def closed(self) -> bool:
        """Whether the program ends."""
        return self._closed

    @property
    def uncoded(self) -> bool:
        """Whether the back is to run on features that were not coded, too."""
        return self._beside_uncoded

    def set_quality(self, quality: float) -> None:
        """Raises InputError for what the codec does not have."""
        if not self.can.quality:
            raise InputError("this codec has no quality to choose")
        if not LEAST_QUALITY <= quality <= MOST_QUALITY:
            raise InputError(f"a quality is from {LEAST_QUALITY} to {MOST_QUALITY}, not {quality:g}")
        self._set(target=Target(quality=round(quality)))

    def set_bitrate(self, bitrate: float) -> None:
        """Raises InputError for what the codec does not have."""
        if not self.can.bitrate:
            raise InputError("this codec cannot hold a bit rate")
        if not LEAST_BITRATE <= bitrate <= MOST_BITRATE:
            raise InputError(f"a bit rate is from {LEAST_BITRATE:,.0f} to {MOST_BITRATE:,.0f}, not {bitrate:g}")
        self._set(target=replace(self._target, quality=None, bitrate=float(bitrate)))

    def ask_key(self) -> None:
        """The next unit is to be a key."""
        self._set(key=True)

    def pause(self, paused: bool) -> None:
        """Stop the source, or go on."""
        self._set(paused=paused)

    def show_uncoded(self, on: bool) -> None:
        """See `uncoded`."""
        self._set(beside_uncoded=on)

    def ask_again(self) -> None:
        """Play a source once more that has ended, and try one that was lost now."""
        self._set(again=True)

    def close(self) -> None:
        """End: whoever waits here goes on."""
        self._set(closed=True)

    def take_key(self) -> bool:
        """Whether a key is asked for; it is asked for once."""
        with self._changed:
            asked, self._key = self._key, False
            return asked

    def take_again(self) -> bool:
        """Whether the source is to be played again; it is asked for once."""
        with self._changed:
            asked, self._again = self._again, False
            return asked

    def wait(self, ready: Callable[[], bool], seconds: float | None = None) -> None:
        """Until `ready` after some change, the program's end, or so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or ready(), seconds)

    def wait_for_again(self, seconds: float | None = None) -> None:
        """Until somebody asks for the source again, the program's end, or so many seconds."""
        self.wait(lambda: self._again, seconds)
        self.take_again()

    def _set(self, **values: object) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, f"_{name}", value)
            self._changed.notify_all()
