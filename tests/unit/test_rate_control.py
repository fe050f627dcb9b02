"""Streams at a bit rate and under a cap: the bucket, ten seconds, the cap, and how often a frame is coded for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.helpers import deltas, profiles

import midstream as ms
from midstream.codec.base import Codec
from midstream.codec.rate_control import ByteCap, LeakyBucket
from midstream.codec.sequence import PendingFrame
from midstream.errors import InputError, OptionError

Pyramid = dict[str, NDArray[np.float32]]
FPS = 25
#: Bytes a second.
RATE = 40_000


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    deltas.install(monkeypatch)


def scene(count: int, seed: int, change: float, size: int = 16) -> list[Pyramid]:
    rng = np.random.default_rng(seed)
    still = rng.normal(size=(8, size, size))
    out = []
    for _ in range(count):
        still = still + change * rng.normal(size=still.shape)
        out.append({"p3": still.astype(np.float32)})
    return out


def noise(count: int) -> list[Pyramid]:
    rng = np.random.default_rng(3)
    return [{"p3": rng.normal(size=(8, 16, 16)).astype(np.float32)} for _ in range(count)]


CLIPS = {
    "still": lambda: scene(300, 0, 0.1),
    "moving": lambda: scene(300, 0, 0.4),
    "cuts": lambda: [each for seed in range(6) for each in scene(50, seed, 0.1 + 0.05 * seed)],
    "noise": lambda: noise(300),
    "noise in a scene": lambda: [*scene(120, 0, 0.1), *noise(60), *scene(120, 1, 0.1)],
}


def coded(encoder: ms.StreamEncoder, frames: list[Pyramid]) -> tuple[list[int], list[int]]:
    """Bytes and passes by frame; what is coded decodes."""
    decoder, sizes, passes = ms.StreamDecoder(), [], []
    for frame in frames:
        unit = encoder.encode(frame)
        if encoder.codec.name == "deltas":
            decoder.decode(unit)
        assert encoder.last is not None
        sizes.append(len(unit))
        passes.append(encoder.last.passes)
    return sizes, passes


def fullest(sizes: list[int], rate: float, fps: float = FPS) -> float:
    """The most that was ever in a bucket that begins empty, in bytes."""
    filled = most = 0.0
    for size in sizes:
        filled = max(filled - rate / fps, 0) + size
        most = max(most, filled)
    return most


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("interval", [64, None])
def test_a_bit_rate_is_held_over_any_ten_seconds_and_the_bucket_is_never_exceeded(
    name: str, interval: int | None
) -> None:
    frames = CLIPS[name]()
    encoder = ms.StreamEncoder("deltas", bitrate=8 * RATE, fps=FPS, key_interval=interval)
    sizes, passes = coded(encoder, frames)
    sums = np.convolve(sizes, np.ones(10 * FPS), "valid") / (10 * RATE)
    assert np.abs(sums - 1).max() <= 0.05, (sums.min(), sums.max())
    assert fullest(sizes, RATE) <= RATE
    assert np.mean(passes) <= 1.3


def changing(count: int, change: float, seed: int) -> list[Pyramid]:
    """Of the profile that tests make: each frame is the one before, `change` of it made anew."""
    frame, out = profiles.pyramid(seed), []
    for number in range(count):
        new = profiles.pyramid(1000 * seed + number)
        frame = {name: np.sqrt(1 - change**2) * values + change * new[name] for name, values in frame.items()}
        out.append({name: values.astype(np.float32) for name, values in frame.items()})
    return out


@pytest.mark.parametrize("fps", [5, 10])
@pytest.mark.parametrize("interval", [64, None])
@pytest.mark.parametrize("name", ["changing", "still, moving, still"])
def test_predicted_frames_hold_it_at_few_frames_a_second(name: str, interval: int | None, fps: int) -> None:
    profile, frames = profiles.profile(), changing(150, 0.1, 3)
    if name != "changing":
        frames = [*changing(60, 0.0, 1), *changing(60, 0.3, 2), *changing(60, 0.0, 5)]
    encoder = ms.StreamEncoder(profile=profile, quality=60, key_interval=64)
    rate = fps * float(np.mean([len(encoder.encode(frame)) for frame in frames]))
    sizes, passes = coded(ms.StreamEncoder(profile=profile, bitrate=8 * rate, fps=fps, key_interval=interval), frames)
    sums = np.convolve(sizes, np.ones(10 * fps), "valid") / (10 * rate)
    assert np.abs(sums - 1).max() <= 0.05, (sums.min(), sums.max())
    assert fullest(sizes, rate, fps) <= 10 / fps * rate
    assert np.mean(passes) <= 1.6


class RoomFrame(PendingFrame):
    """A frame of an empty room, as predicted frames were measured in one: at the step of what it refers to, and at any
    coarser one, it takes almost nothing, and at each finer step almost a kilobyte more."""

    steps = range(256)

    def __init__(self, key: bool, reference: int) -> None:
        self.key, self._reference = key, reference

    def write(self) -> bytes:
        raise NotImplementedError

    def code(self, step: int) -> bytes:
        return bytes(int(560 * 2 ** ((105 - step) / 8)) if self.key else 50 + 900 * max(self._reference - step, 0))


@pytest.mark.parametrize("mean", [400, 600])
@pytest.mark.parametrize("interval", [64, 10**6])
def test_an_empty_room_gets_its_bytes_though_they_come_in_lumps(mean: int, interval: int) -> None:
    fps, reference, sizes, passes = 5, 255, [], []
    bucket = LeakyBucket(mean * fps, fps, None, interval, None)
    for number in range(120):
        if number:
            bucket.wait(None)
        key = number % interval == 0
        fitted = bucket.unit(RoomFrame(key, reference), interval - number % interval)
        assert fitted.step is not None
        reference = fitted.step if key else min(reference, fitted.step)
        bucket.sent(fitted, key, key)
        sizes.append(len(fitted.unit))
        passes.append(fitted.passes)
    sums = np.convolve(sizes, np.ones(10 * fps), "valid") / (10 * fps * mean)
    assert np.abs(sums - 1).max() <= 0.05, (sums.min(), sums.max())
    assert fullest(sizes, mean * fps, fps) <= bucket.size
    assert np.mean(passes) <= 3


def test_a_larger_bucket_leaves_more_to_keys() -> None:
    frames = changing(150, 0.05, 4)
    encoder = ms.StreamEncoder(profile=profiles.profile(), quality=60, key_interval=30)
    rate = FPS * float(np.mean([len(encoder.encode(frame)) for frame in frames]))
    largest = []
    for bucket_s in (0.2, 3.0):
        encoder = ms.StreamEncoder(
            profile=profiles.profile(), bitrate=8 * rate, fps=FPS, bucket_s=bucket_s, key_interval=30
        )
        sizes, _ = coded(encoder, frames)
        assert fullest(sizes, rate) <= bucket_s * rate
        largest.append(max(sizes[10:]))
    assert largest[1] > 1.5 * largest[0]


def test_a_codec_whose_frames_are_all_keys_holds_it_too() -> None:
    profile = profiles.profile()
    frames = [profiles.pyramid(seed, scale=1 + (seed // 40) % 3) for seed in range(250)]
    rate = 0.7 * FPS * len(ms.encode(frames[0], "calibrated", profile=profile, quality=50))
    sizes, passes = coded(ms.StreamEncoder(profile=profile, bitrate=8 * rate, fps=FPS), frames)
    assert sum(sizes) == pytest.approx(10 * rate, rel=0.05)
    assert fullest(sizes, rate) <= rate
    assert np.mean(passes) <= 1.3


def test_a_small_bucket_and_a_cap_hold_besides() -> None:
    frames = CLIPS["cuts"]()
    encoder = ms.StreamEncoder("deltas", bitrate=8 * RATE, fps=FPS, bucket_s=0.3, max_bytes=5000)
    sizes, _ = coded(encoder, frames)
    assert fullest(sizes, RATE) <= 0.3 * RATE
    assert max(sizes) <= 5000
    assert sum(sizes) == pytest.approx(12 * RATE, rel=0.05)


def test_time_stamps_take_the_place_of_the_rate_of_frames() -> None:
    rate = RATE / 4
    encoder = ms.StreamEncoder("deltas", bitrate=8 * rate, fps=FPS)
    frames = scene(300, 0, 0.4)
    times = np.cumsum([0.04 if n < 100 else 0.12 for n in range(300)])
    sizes = [len(encoder.encode(frame, time_s=float(time))) for frame, time in zip(frames, times, strict=True)]
    assert sum(sizes[:100]) == pytest.approx(4 * rate, rel=0.1)
    assert sum(sizes[100:]) == pytest.approx(24 * rate, rel=0.1)


def test_a_frame_for_which_there_is_no_room_is_an_error_and_later_ones_find_it_again() -> None:
    encoder = ms.StreamEncoder("deltas", bitrate=8 * 3000, fps=FPS)
    decoder, sizes = ms.StreamDecoder(), []
    frames = iter([*scene(30, 0, 0.0), *noise(60)])

    def until_it_is_full() -> None:
        for frame in frames:
            sizes.append(len(encoder.encode(frame)))

    with pytest.raises(InputError, match=r"the least that this frame takes is [0-9,]+ bytes, and the bucket has room"):
        until_it_is_full()
    assert len(sizes) >= 30
    sizes.append(0)
    for frame in scene(100, 1, 0.0):
        try:
            unit = encoder.encode(frame)
        except InputError:
            unit = b""
        sizes.append(len(unit))
    assert sizes[-1]
    assert fullest(sizes, 3000) <= 3000
    encoder.request_key()
    decoder.decode(encoder.encode(frame))


@pytest.mark.parametrize("most", [1500, 3000])
@pytest.mark.parametrize("name", ["cuts", "noise"])
def test_a_cap_is_never_exceeded_and_well_used(name: str, most: int) -> None:
    sizes, passes = coded(ms.StreamEncoder("deltas", max_bytes=most, key_interval=20), CLIPS[name]())
    assert max(sizes) <= most
    assert np.mean(sizes[5:]) >= 0.8 * most
    assert np.mean(passes) <= 1.6


def test_a_cap_of_calibrated_is_filled_and_one_beside_a_quality_is_only_kept_to() -> None:
    profile = profiles.profile()
    frames = [profiles.pyramid(seed) for seed in range(20)]
    usual, _ = coded(ms.StreamEncoder(profile=profile, quality=50), frames)
    most = int(np.median(usual))
    filled, _ = coded(ms.StreamEncoder(profile=profile, max_bytes=most), frames)
    assert max(filled) <= most
    assert np.mean(filled) >= 0.8 * most
    kept, _ = coded(ms.StreamEncoder(profile=profile, quality=50, max_bytes=most), frames)
    assert max(kept) <= most
    first = next(number for number, size in enumerate(usual) if size > most)
    assert kept[:first] == usual[:first]
    own, _ = coded(ms.StreamEncoder(ms.Calibrated(profile=profile, max_bytes=most)), frames)
    assert max(own) <= most
    # Frame 0 has a number in its header, in one byte; an image also fills what steps leave of a cap.
    assert own[0] <= len(ms.encode(frames[0], "calibrated", profile=profile, max_bytes=most)) + 1


def test_what_no_step_reaches_is_named() -> None:
    with pytest.raises(OptionError, match=r"max_bytes 10: the least that this frame takes is [0-9,]+ bytes"):
        ms.StreamEncoder("deltas", max_bytes=10).encode(noise(1)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bitrate": 1000}, "bitrate needs fps"),
        ({"bitrate": 1000, "fps": 0}, "fps is a number above 0, not 0"),
        ({"bitrate": 1000, "fps": "25"}, "fps is a number above 0, not '25'"),
        ({"bitrate": -1, "fps": 25}, "bitrate is a number above 0, not -1"),
        ({"bitrate": float("nan"), "fps": 25}, "bitrate is a number above 0, not nan"),
        ({"bitrate": "much", "fps": 25}, "a rate such as 2Mbit or 500kbit is wanted, not 'much'"),
        ({"bitrate": 1000, "fps": 25, "bucket_s": 0.0}, "bucket_s is a number above 0"),
        ({"bitrate": 1000, "fps": 25, "step": 3}, "give one of bitrate and step"),
        ({"max_bytes": 0}, "max_bytes is a whole number, 1 or more, not 0"),
        ({"bitrate": 1000, "fps": 25, "max_bytes": True}, "max_bytes is a whole number, 1 or more"),
        (
            {"codec": "paper", "symbols": 4, "z": 1.5, "bitrate": 1000, "fps": 25},
            "bitrate: the codec paper has no steps",
        ),
        ({"codec": "paper", "symbols": 4, "z": 1.5, "max_bytes": 1000}, "max_bytes: the codec paper has no steps"),
    ],
)
def test_options_are_refused_in_words(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ms.StreamEncoder(**({"codec": "deltas"} | options))


def test_a_cap_is_given_once_and_a_rate_may_be_text() -> None:
    codec: Codec = ms.Calibrated(profile=profiles.profile(), max_bytes=100)
    with pytest.raises(OptionError, match="max_bytes is given to the stream and to its codec"):
        ms.StreamEncoder(codec, max_bytes=100)
    frames = scene(30, 0, 0.1)
    for one, other in (("200kbit", 200_000), ("200k", 2e5), ("1.5Mbit", 1_500_000), ("320000", 320_000)):
        made = [ms.StreamEncoder("deltas", bitrate=rate, fps=FPS) for rate in (one, other)]
        assert coded(made[0], frames) == coded(made[1], frames)


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), 0.5])
def test_times_do_not_go_back(time_s: float) -> None:
    encoder = ms.StreamEncoder("deltas", bitrate=200_000, fps=25)
    frame = CLIPS["noise"]()[0]
    encoder.encode(frame, time_s=0.0)
    encoder.encode(frame, time_s=1.0)
    with pytest.raises(ms.InputError, match="times do not go back"):
        encoder.encode(frame, time_s=time_s)


class SteepFrame(PendingFrame):
    """That takes next to nothing down to a step, and then twice as much with every few."""

    key, steps = True, range(20, 256)

    def __init__(self, edge: int, fall: float) -> None:
        self._edge, self._fall = edge, fall

    def write(self) -> bytes:
        raise NotImplementedError

    def code(self, step: int) -> bytes:
        return bytes(int(100 + 300 * 2 ** ((self._edge - step) / self._fall)))


@pytest.mark.parametrize("most", [500, 1000, 4000, 12000, 50000])
@pytest.mark.parametrize("edge", [60, 118, 240])
@pytest.mark.parametrize("fall", [5, 8, 12])
def test_keys_fill_a_cap_wherever_their_steps_lie(most: int, edge: int, fall: float) -> None:
    cap = ByteCap(most, fill=True)
    for _ in range(3):
        fitted = cap.unit(SteepFrame(edge, fall), None)
        assert fitted.step is not None
        assert len(fitted.unit) <= most
        finer = SteepFrame(edge, fall).code(fitted.step - 1)
        assert len(fitted.unit) >= 0.8 * most or len(finer) > most or fitted.step == SteepFrame.steps[0]
        assert fitted.passes <= 10
