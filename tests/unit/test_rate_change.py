"""Streams whose bit rate changes while they run: the bucket at each rate, and how soon a new rate is kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.helpers import profiles
from tests.helpers.made_frames import MadeFrame

import midstream as ms
from midstream.codec.rate_control import LeakyBucket
from midstream.errors import InputError

FPS = 25


class Stream:
    """A bucket and the frames that are poured into it."""

    def __init__(self, rate: float, interval: int, seed: int) -> None:
        self.bucket = LeakyBucket(rate, FPS, None, interval, None)
        self.rng, self.interval, self.count = np.random.default_rng(seed), interval, 0
        self.passes: list[int] = []

    def next(self) -> int:
        """Bytes of the next frame."""
        if self.count:
            self.bucket.wait(None)
        key = self.count % self.interval == 0
        frame = MadeFrame(key, 200_000 * (4 if key else 1) * float(self.rng.uniform(0.7, 1.4)))
        fitted = self.bucket.unit(frame, self.interval - self.count % self.interval)
        self.bucket.sent(fitted, key, key)
        self.passes.append(fitted.passes)
        self.count += 1
        return len(fitted.unit)


RATES = st.floats(np.log(2_000), np.log(200_000)).map(np.exp)


@given(
    spans=st.lists(st.tuples(RATES, st.integers(1, 60)), min_size=1, max_size=8),
    interval=st.sampled_from([25, 64, 10**6]),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_at_each_rate_the_bucket_holds_what_it_promises_and_no_frame_is_refused(
    spans: list[tuple[float, int]], interval: int, seed: int
) -> None:
    stream = Stream(spans[0][0], interval, seed)
    for rate, count in spans:
        before_s = stream.bucket.filled / (stream.bucket.size or 1)
        stream.bucket.set_bitrate(8 * rate)
        assert stream.bucket.filled / stream.bucket.size == pytest.approx(before_s)
        filled = most = stream.bucket.filled
        for _ in range(count):
            size = stream.next()
            filled = max(filled - rate / FPS, 0) + size
            most = max(most, filled)
        assert most <= stream.bucket.size * (1 + 1e-9) + rate / FPS  # the first frame of all comes after no wait


@given(low=RATES, times=st.floats(1.2, 20), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_a_new_rate_is_kept_within_half_a_second(low: float, times: float, seed: int) -> None:
    stream = Stream(low, 64, seed)
    for rate in (low, low * times, low):
        stream.bucket.set_bitrate(8 * rate)
        for _ in range(FPS // 2):
            stream.next()
        sent = sum(stream.next() for _ in range(4 * FPS))
        assert sent == pytest.approx(4 * rate, rel=0.13)  # 0.44 s of four, and what half a second has not mended
    assert np.mean(stream.passes) <= 1.6


@pytest.mark.parametrize("seed", range(4))
def test_a_fall_to_a_tenth_is_followed_within_two_frames(seed: int) -> None:
    stream = Stream(125_000, 10**6, seed)
    for _ in range(50):
        stream.next()
    stream.bucket.set_bitrate(8 * 12_500)
    sizes = [stream.next() for _ in range(12)]
    assert sum(sizes[:2]) <= 0.4 * 12_500
    assert max(sizes[2:]) <= 2.5 * 12_500 / FPS


def test_small_changes_leave_a_stream_as_even_as_it_was() -> None:
    sizes = []
    for wobble in (0.0, 0.03):
        stream = Stream(50_000, 64, 2)
        for number in range(200):
            stream.bucket.set_bitrate(8 * 50_000 * (1 + wobble * (-1) ** number))
            sizes.append(stream.next())
    still, moved = np.array(sizes).reshape(2, 200)[:, 20:]
    assert moved.sum() == pytest.approx(still.sum(), rel=0.05)
    assert moved.std() <= 1.15 * still.std()


def test_units_of_all_rates_decode() -> None:
    profile, encoder = profiles.profile(), None
    decoder, sizes = ms.StreamDecoder(profile), []
    for number in range(60):
        pyramid = profiles.pyramid(number // 3)
        encoder = encoder or ms.StreamEncoder(profile=profile, bitrate="400kbit", fps=FPS)
        if number in (20, 40):
            encoder.set_bitrate("80kbit" if number == 20 else 400_000)
        unit = encoder.encode(pyramid)
        assert decoder.decode(unit).keys() == pyramid.keys()
        sizes.append(len(unit))
    assert sum(sizes[20:40]) < 0.5 * sum(sizes[:20])
    assert sum(sizes[40:]) > 2 * sum(sizes[20:40])


@pytest.mark.parametrize(
    ("bitrate", "message"),
    [(0, "`?bitrate`? is a number above 0"), (float("nan"), "not nan"), ("much", "a rate such as"), (True, "not True")],
)
def test_what_is_no_rate_changes_nothing(bitrate: float | str, message: str) -> None:
    profile, frame = profiles.profile(), profiles.pyramid(0)
    changed, other = (ms.StreamEncoder(profile=profile, bitrate=200_000, fps=FPS) for _ in range(2))
    with pytest.raises(InputError, match=message):
        changed.set_bitrate(bitrate)
    assert changed.bitrate == 200_000
    assert changed.encode(frame) == other.encode(frame)


@pytest.mark.parametrize("options", [{"quality": 50}, {"max_bytes": 3000}])
def test_a_stream_without_a_rate_has_none_to_change(options: dict[str, int]) -> None:
    encoder = ms.StreamEncoder(profile=profiles.profile(), **options)
    assert encoder.bitrate is None
    with pytest.raises(InputError, match="this stream has no bit rate to change"):
        encoder.set_bitrate("100kbit")


def test_a_stream_says_which_quality_its_steps_come_nearest_to() -> None:
    profile, qualities = profiles.profile(), []
    for rate in (60_000, 240_000, 960_000):
        encoder = ms.StreamEncoder(profile=profile, bitrate=rate, fps=FPS)
        for seed in range(5):
            encoder.encode(profiles.pyramid(seed))
        assert encoder.last is not None
        assert encoder.last.step is not None
        qualities.append(encoder.last.quality)
        assert qualities[-1] == profile.quality_of(encoder.last.step)
    assert qualities == sorted(set(qualities))
    assert all(abs(profile.quality_of(profile.step_of(quality)) - quality) <= 3 for quality in range(1, 101, 9))
