"""Layers: levels over the same cells that are coded one after another, with importance maps of their own."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from itertools import accumulate, pairwise

import numpy as np
import pytest
from tests.helpers import format_coefficients, format_frames, profiles
from tests.helpers.drawn import agree

import midstream as ms
from midstream import _native
from midstream.arrays import unpack_tensors
from midstream.codec import threads as threads_module
from midstream.codec.calibrated import prediction
from midstream.codec.calibrated.coding import analyse
from midstream.codec.calibrated.decoder import CalibratedInfo
from midstream.codec.calibrated.profile import pack_profile
from midstream.codec.temporal.decoder import TemporalUnits
from midstream.codec.temporal.reference import FrameMemory
from midstream.features import check_pyramid

#: Three layers, of which the second one has more coefficients than are looked at, and a coarser group.
THREE: tuple[profiles.Group, ...] = (
    {"p5": (5, (3, 4), 1)},
    {"p4": (34, (6, 8), 2)},
    {"p3": (3, (11, 15), 4)},
    {"p6": (4, (2, 2), 1)},
)
PROFILES = {
    "two": profiles.profile(layers=2),
    "three": profiles.profile(layers=3, layout=THREE),
}
LAYOUTS = {name: THREE if "three" in name else profiles.LAYERED for name in PROFILES}


def pyramid_of(name: str, seed: int = 1) -> dict[str, np.ndarray]:
    """In the order of the profile."""
    made = profiles.pyramid(seed, 2.0, LAYOUTS[name])
    return {level: made[level] for level in PROFILES[name].about.order}


def parts_of(data: bytes) -> tuple[bytes, list[bytes]]:
    """Header and the groups' streams."""
    info = ms.inspect(data)
    assert isinstance(info, CalibratedInfo)
    ends = accumulate([info.header_bytes, *info.group_bytes])
    return data[: info.header_bytes], [data[begin:end] for begin, end in pairwise(ends)]


def whole(header: bytes, streams: list[bytes]) -> bytes:
    body = b"".join(streams)
    return header + body + _native.crc32c(body).to_bytes(4, "little")


def damaged(stream: bytes) -> bytes:
    """As long, and no stream."""
    return bytes(len(stream))


@pytest.mark.parametrize("name", PROFILES)
def test_what_comes_back_is_near_and_what_the_document_says(name: str) -> None:
    profile, pyramid = PROFILES[name], pyramid_of(name)
    errors, sizes = [], []
    for quality in (5, 60, 100):
        data = ms.encode(pyramid, "calibrated", profile=profile, quality=quality)
        back = ms.decode(data, profile=profile)
        shapes = ms.inspect(data, profile=profile).shapes
        assert list((shapes or {}).items()) == [(level, values.shape) for level, values in pyramid.items()]
        agree(back, format_coefficients.decode(data, profile.data))
        errors.append(float(np.mean([np.square(back[level] - pyramid[level]).mean() for level in pyramid])))
        sizes.append(len(data))
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 * np.mean([np.square(values).mean() for values in pyramid.values()])


def test_a_fine_step_loses_next_to_nothing() -> None:
    """What is expected of a coefficient is added where it was taken away."""
    fine = profiles.profile(layers=3, layout=THREE, qualities=(32,) * 100)
    pyramid = pyramid_of("three")
    back = ms.decode(ms.encode(pyramid, "calibrated", profile=fine, quality=1), profile=fine)
    assert max(float(np.abs(back[level] - pyramid[level]).max()) for level in pyramid) < 0.05


@pytest.mark.parametrize("name", PROFILES)
def test_the_same_bytes_and_values_on_every_path_and_by_any_number_of_threads(
    name: str, simd_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads_module, "_WORTH_THREADS", 1)
    monkeypatch.setattr(prediction, "_LEAST_CELLS", 1)
    profile, pyramid, before = PROFILES[name], pyramid_of(name), _native.simd_path()
    _native.set_simd_path("reference")
    data = ms.encode(pyramid, "calibrated", profile=profile, quality=70, threads=1)
    wanted = ms.decode(data, profile=profile, threads=1)
    _native.set_simd_path(before)
    for threads in (1, 2, 3):
        assert ms.encode(pyramid, "calibrated", profile=profile, quality=70, threads=threads) == data
        agree(ms.decode(data, profile=profile, threads=threads), wanted)


@pytest.mark.parametrize("name", PROFILES)
def test_each_layer_has_its_importance_map(name: str) -> None:
    profile = PROFILES[name]
    analysed = analyse(check_pyramid(pyramid_of(name)), profile)
    first, *others = analysed.importance[: profile.layers]
    assert len(np.unique(first)) > 1
    for each in others:
        assert each.shape == first.shape
        assert not np.array_equal(each, first)
    data = ms.encode(pyramid_of(name), "calibrated", profile=profile, quality=60)
    read = format_coefficients.decode_coefficients(format_coefficients.read_header(data, profile.data))
    step, spacing = profile.step_of(60), profile.about.importance.spacing
    for (_, steps), importance in zip(read, analysed.importance, strict=True):
        np.testing.assert_array_equal(steps, step + spacing * importance.astype(int))


def test_scores_of_each_map_say_how_finely_its_layer_is_coded() -> None:
    profile, pyramid = PROFILES["three"], pyramid_of("three")
    sizes = {}
    for seen in (0, 1, 2):
        scores = np.zeros((3, 3, 4))
        scores[seen] = 1
        data = ms.encode(pyramid, "calibrated", profile=profile, quality=80, scores=scores)
        sizes[seen] = [len(stream) for stream in parts_of(data)[1]]
    for layer in (0, 1, 2):
        assert max(sizes, key=lambda seen: sizes[seen][layer]) == layer
    assert sizes[0][3] > sizes[1][3] == sizes[2][3], "coarser groups have the first map"
    everywhere = ms.encode(pyramid, "calibrated", profile=profile, scores=np.ones((3, 4)))
    assert everywhere == ms.encode(pyramid, "calibrated", profile=profile, scores=np.ones((3, 3, 4)))
    for bad in (np.ones((2, 3, 4)), np.ones((3, 4, 3)), np.ones((1, 3, 4)), np.full((3, 3, 4), 1.5)):
        with pytest.raises(ms.InputError, match=r"scores "):
            ms.encode(pyramid, "calibrated", profile=profile, scores=bad)


@pytest.mark.parametrize("name", PROFILES)
def test_some_levels_are_the_same_and_take_no_more_than_what_they_are_made_of(name: str) -> None:
    profile, pyramid = PROFILES[name], pyramid_of(name)
    data = ms.encode(pyramid, "calibrated", profile=profile, quality=60)
    all_levels, (header, streams) = ms.decode(data, profile=profile), parts_of(data)
    groups = [group.levels[0].name for group in profile.about.groups]
    for number, level in enumerate(groups):
        needed = set(range(number + 1)) if number < profile.layers else {0, number}
        others = [each if at in needed else damaged(each) for at, each in enumerate(streams)]
        found = ms.decode(whole(header, others), profile=profile, levels=[level])
        assert list(found) == [level]
        np.testing.assert_array_equal(found[level], all_levels[level])
        for lacking in needed:
            others = [damaged(each) if at == lacking else each for at, each in enumerate(streams)]
            with pytest.raises(ms.CorruptError):
                ms.decode(whole(header, others), profile=profile, levels=[level])
    several = ms.decode(data, profile=profile, levels=groups[::-2])
    assert list(several) == [level for level in profile.about.order if level in groups[::-2]]


@pytest.mark.parametrize("name", PROFILES)
def test_each_damaged_byte_is_refused(name: str) -> None:
    profile = PROFILES[name]
    data = ms.encode(pyramid_of(name), "calibrated", profile=profile, quality=40)
    for at in range(len(data)):
        other = bytearray(data)
        other[at] ^= 0x55
        with pytest.raises(ms.BitstreamError):
            ms.decode(bytes(other), profile=profile)
        with pytest.raises(ms.TruncatedError):
            ms.decode(data[:at], profile=profile)


def test_damage_behind_right_checksums_is_the_same_to_the_reader_of_the_document() -> None:
    profile, refused = PROFILES["two"], 0
    header, streams = parts_of(ms.encode(pyramid_of("two"), "calibrated", profile=profile, quality=30))
    body, rng = b"".join(streams), np.random.default_rng(0)
    places = [*range(0, len(body), 23), *range(len(streams[0]), len(streams[0]) + 8)]
    for at in places:
        other = bytearray(body)
        other[at] ^= int(rng.integers(1, 256))
        data = whole(header, [bytes(other)])
        try:
            found = ms.decode(data, profile=profile)
        except ms.CorruptError:
            refused += 1
            with pytest.raises(ValueError, match="corrupt"):
                format_coefficients.decode(data, profile.data)
        else:
            agree(found, format_coefficients.decode(data, profile.data))
    assert refused > len(places) / 2


def test_layers_of_other_grids_are_refused() -> None:
    profile = PROFILES["two"]
    pyramid = {**pyramid_of("two"), "p4": np.ones((5, 9, 10), np.float32)}
    with pytest.raises(ms.InputError, match="do not lie over one another"):
        ms.encode(pyramid, "calibrated", profile=profile)
    pyramid["p3"] = np.ones((6, 18, 20), np.float32)
    header, streams = parts_of(ms.encode(pyramid, "calibrated", profile=profile))
    assert header.count(bytes([18, 20, 9, 10, 4, 5])) == 1
    fields = header[:-4].replace(bytes([18, 20, 9, 10, 4, 5]), bytes([18, 20, 8, 10, 4, 5]))
    data = whole(fields + _native.crc32c(fields).to_bytes(4, "little"), streams)
    with pytest.raises(ms.CorruptError, match=r"level p3: a layer's grid"):
        ms.decode(data, profile=profile)
    with pytest.raises(ValueError, match="corrupt: layers of other grids"):
        format_coefficients.decode(data, profile.data)


@pytest.mark.parametrize("name", PROFILES)
def test_a_cap_holds(name: str) -> None:
    profile, pyramid = PROFILES[name], pyramid_of(name)
    for most in (200, 500, 2000):
        data = ms.encode(pyramid, "calibrated", profile=profile, max_bytes=most)
        assert len(data) <= most
        agree(ms.decode(data, profile=profile), format_coefficients.decode(data, profile.data))


def test_what_layers_are_predicted_from_may_not_be_too_large() -> None:
    """What is decoded of one layer is multiplied for the next: what no decoder could add up is not written."""
    large = {level: values * np.float32(1e11) for level, values in pyramid_of("two").items()}
    with pytest.raises(ms.InputError, match="too large to code"):
        ms.encode(large, "calibrated", profile=PROFILES["two"])


def test_frames_are_what_the_document_says_and_all_layers_go_on_learning(simd_path: str) -> None:
    profile = profiles.profile(layers=3, layout=THREE, ways=2)
    encoder = ms.StreamEncoder(profile=profile, quality=60, key_interval=4)
    decoder, reader = ms.StreamDecoder(profile), format_frames.Decoder(profile.data)
    learnt = []
    for frame in profiles.clip(6, scale=2.0, layout=THREE, change=0.2):
        unit = encoder.encode({level: frame[level] for level in profile.about.order})
        agree(decoder.decode(unit), reader.decode(unit))
        units = decoder._sequences[2]
        assert isinstance(units, TemporalUnits)
        learnt.append(len(units._kept[max(units._kept)].contexts))
    assert learnt == [0, 3, 3, 3, 0, 3]


def test_a_state_without_what_a_layer_has_learnt_is_refused() -> None:
    profile = profiles.profile(layers=2)
    encoder, decoder = ms.StreamEncoder(profile=profile), ms.StreamDecoder(profile)
    units = [encoder.encode(frame) for frame in profiles.clip(3)]
    for unit in units[:2]:
        decoder.decode(unit)
    kept = decoder._sequences[2]
    assert isinstance(kept, TemporalUnits)
    whole_memory = FrameMemory.unpack(kept._kept[1].pack())
    assert [each.tobytes() for each in whole_memory.contexts] == [each.tobytes() for each in kept._kept[1].contexts]
    for contexts in (whole_memory.contexts[:1], (*whole_memory.contexts, whole_memory.contexts[0])):
        kept._kept[1] = replace(whole_memory, contexts=contexts)
        with pytest.raises(ms.InputError, match="of another profile"):
            decoder.decode(units[2])
    kept._kept[1] = whole_memory
    assert list(decoder.decode(units[2])) == ["p3", "p4", "p5"]


def test_without_anything_that_a_layer_may_lack() -> None:
    """No prediction: layers are groups that stand alone."""
    made = profiles.profile(layers=3, layout=THREE)
    tensors = {name: values for name, values in unpack_tensors(made.data, "")[0].items() if "/prediction" not in name}
    profile, pyramid = pack_profile(made.about, tensors), pyramid_of("three")
    data = ms.encode(pyramid, "calibrated", profile=profile, quality=90)
    agree(ms.decode(data, profile=profile), format_coefficients.decode(data, profile.data))


def test_each_group_is_named_by_its_levels_where_the_profile_is_known() -> None:
    profile = profiles.profile(layers=2)
    names = [[level.about.name for level in group.levels] for group in profile.groups]
    data = ms.encode(profiles.pyramid(), "calibrated", profile=profile)
    known, unknown = ms.inspect(data, profile=profile), ms.inspect(data)
    assert isinstance(known, CalibratedInfo)
    assert isinstance(unknown, CalibratedInfo)
    assert known.group_levels == names
    assert unknown.group_levels is None
    assert [row[0] for row in known.table().rows[1:-2]] == [f"group {n}: {' '.join(x)}" for n, x in enumerate(names)]
    assert [row[0] for row in unknown.table().rows[1:-2]] == [f"group {n}" for n in range(len(names))]


@pytest.mark.parametrize(("layers", "channels"), [(3, 8), (8, 20), (16, 24)])
def test_many_thin_layers_decode_within_the_limit_of_their_elements(layers: int, channels: int) -> None:
    layout: tuple[profiles.Group, ...] = tuple({f"l{number:02}": (channels, (24, 24), 1)} for number in range(layers))
    profile, pyramid = profiles.profile(layout=layout, layers=layers), profiles.pyramid(layout=layout)
    data = ms.encode(pyramid, "calibrated", profile=profile)
    elements = sum(values.size for values in pyramid.values())
    assert list(ms.decode(data, profile=profile, limits=ms.Limits(elements=elements))) == list(pyramid)


def test_a_profile_that_has_coded_goes_with_its_last_reference() -> None:
    profile = profiles.profile(layers=2)
    ms.decode(ms.encode(profiles.pyramid(), "calibrated", profile=profile), profile=profile)
    gone, enabled = weakref.ref(profile), gc.isenabled()
    gc.disable()
    try:
        del profile
        assert gone() is None
    finally:
        if enabled:
            gc.enable()
