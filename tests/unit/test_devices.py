"""Where levels are: torch is known by its tensors alone, and never imported for anybody else's arrays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import midstream as ms
from midstream.codec.base import NO_HINTS, Codec, Decoder, Hints
from midstream.errors import InputError
from midstream.features import DeviceLevel, Level, check_pyramid

Pyramid = dict[str, NDArray[np.float32]]


class FakeDevice:
    def __init__(self, kind: str) -> None:
        self.type = kind

    def __str__(self) -> str:
        return f"{self.type}:0"


class FakeTensor:
    """As much of a tensor as a level needs; `copies` are those to the host."""

    layout = "torch.strided"

    def __init__(self, array: NDArray[Any], kind: str = "cuda", copies: list[int] | None = None) -> None:
        self._array, self.device = array, FakeDevice(kind)
        self.copies = [] if copies is None else copies
        self.shape, self.dtype = array.shape, f"torch.{array.dtype}"

    def _with(self, array: NDArray[Any]) -> FakeTensor:
        return FakeTensor(array, self.device.type, self.copies)

    def detach(self) -> FakeTensor:
        return self

    def contiguous(self) -> FakeTensor:
        return self

    def float(self) -> FakeTensor:
        return self._with(self._array.astype(np.float32))

    def reshape(self, *shape: int) -> FakeTensor:
        return self._with(self._array.reshape(*shape))

    def cpu(self) -> FakeTensor:
        self.copies.append(self._array.size)
        return self

    def numpy(self) -> NDArray[Any]:
        return self._array

    def __getitem__(self, place: Any) -> FakeTensor:
        return self._with(self._array[place])


@pytest.fixture
def fake_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `torch` that somebody has imported, with nothing but tensors."""
    module = ModuleType("torch")
    module.Tensor = FakeTensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", module)


class HostCodec(Codec):
    """Of somebody who knows nothing of devices."""

    name = "host"
    number = 200

    def encode(self, levels: Any, hints: Hints = NO_HINTS, threads: int | None = None) -> bytes:
        return b"".join(level.values.tobytes() for level in levels)


def test_torch_is_never_imported_for_arrays() -> None:
    code = """
import sys, numpy as np, midstream as ms
x = {"x": np.zeros((2, 40, 40), np.float32) + np.arange(40, dtype=np.float32)}
data = ms.encode(x)
ms.decode(data)
ms.decode_batch(ms.encode_batch([x, x]))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("fake_torch")
def test_a_tensor_on_a_working_device_stays_there() -> None:
    tensor = FakeTensor(np.arange(12, dtype=np.float16).reshape(3, 2, 2))
    (level,) = check_pyramid({"x": tensor})
    assert isinstance(level, DeviceLevel)
    assert (level.shape, level.dtype, level.elements, level.tensor.shape) == ((3, 2, 2), "float16", 12, (3, 4))
    assert tensor.copies == []
    assert level.first_values(np.array([True, False, True])).tolist() == [0, 8]
    assert level.values.dtype == np.float32
    assert level.values is level.values


@pytest.mark.usefixtures("fake_torch")
def test_a_tensor_on_another_device_comes_to_the_host() -> None:
    tensor = FakeTensor(np.ones((3, 2, 2), np.float32), "mps")
    (level,) = check_pyramid({"x": tensor})
    assert type(level) is Level
    assert tensor.copies == [12]


@pytest.mark.usefixtures("fake_torch")
def test_a_codec_without_devices_gets_the_values_from_the_thread_that_calls() -> None:
    tensor = FakeTensor(np.arange(12, dtype=np.float32).reshape(3, 2, 2))
    rest = HostCodec().begin(check_pyramid({"x": tensor}))
    assert tensor.copies == [12]
    assert rest() == np.arange(12, dtype=np.float32).tobytes()
    assert tensor.copies == [12]


@pytest.mark.usefixtures("fake_torch")
def test_levels_are_in_one_place() -> None:
    x = np.zeros((1, 2, 2), np.float32)
    with pytest.raises(ms.InputError, match=r"'a' a torch tensor on cuda:0, 'b' a numpy array"):
        ms.encode({"a": FakeTensor(x), "b": x})
    with pytest.raises(ms.InputError, match=r"'a' a torch tensor on cuda:0, 'b' a torch tensor on cpu:0"):
        ms.encode({"a": FakeTensor(x), "b": FakeTensor(x, "cpu")})


def test_torch_that_is_not_there_is_hinted_at(monkeypatch: pytest.MonkeyPatch, pyramid: Pyramid) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    data = ms.encode(pyramid)
    for options in ({}, {"device": "cuda"}):
        with pytest.raises(ms.MidstreamError, match="decoding to torch tensors needs the extra 'torch'"):
            ms.decode(data, like="torch", **options)  # type: ignore[arg-type]


def test_a_device_is_for_tensors(pyramid: Pyramid) -> None:
    with pytest.raises(ms.InputError, match="device is where torch tensors are made: it goes with like='torch'"):
        ms.decode(ms.encode(pyramid), device="cuda")


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_a_batch_of_arrays_gives_what_its_images_give(pyramid: Pyramid, threads: int | None) -> None:
    images = [{name: values * scale for name, values in pyramid.items()} for scale in range(1, 8)]
    alone = [ms.encode(image, symbols=16) for image in images]
    assert ms.encode_batch(images, symbols=16, threads=threads) == alone
    stacked = {name: np.stack([image[name] for image in images]) for name in pyramid}
    assert ms.encode_batch(stacked, ms.Paper(symbols=16), threads=threads) == alone
    for data, made in zip(alone, ms.decode_batch(iter(alone), threads=threads), strict=True):
        assert all(np.array_equal(made[name], values) for name, values in ms.decode(data).items())
    assert ms.encode_batch([]) == ms.decode_batch([]) == []


def test_an_error_says_of_which_image_it_is(pyramid: Pyramid) -> None:
    data = ms.encode(pyramid)
    with pytest.raises(ms.CorruptError) as caught:
        ms.decode_batch([data, data, data[:-1] + bytes([data[-1] ^ 1])])
    assert str(caught.value).startswith("image 2 of the batch, counted from 0: ")
    with pytest.raises(ms.InputError, match="of as many images each") as refused:
        ms.encode_batch(pyramid)
    assert "image 0" not in str(refused.value)
    broken = {name: np.full_like(values, np.nan) for name, values in pyramid.items()}
    with pytest.raises(ms.InputError, match="holds a NaN") as refused:
        ms.encode_batch([pyramid, broken])
    assert str(refused.value).startswith("image 1 of the batch, counted from 0: level 'p")
    with pytest.raises(ms.InputError, match=r"image 1 of the batch, counted from 0: .*NoneType"):
        ms.encode_batch([pyramid, None])  # type: ignore[list-item]
    with pytest.raises(ms.TruncatedError, match="image 1 of the batch, counted from 0: "):
        ms.decode_batch([data, b"MIDS"])
    with pytest.raises(ms.InputError, match="threads is a whole number"):
        ms.encode_batch([pyramid], threads=0)


def test_only_as_many_images_as_threads_are_ahead(pyramid: Pyramid) -> None:
    given = 0
    most = 0

    def images() -> Any:
        nonlocal given
        for _ in range(12):
            given += 1
            yield pyramid

    class Counting(HostCodec):
        def encode(self, levels: Any, hints: Hints = NO_HINTS, threads: int | None = None) -> bytes:
            nonlocal done, most
            most = max(most, given - done)
            done += 1
            return b""

    done = 0
    assert len(ms.encode_batch(images(), Counting(), threads=2)) == 12
    assert most <= 4


def test_decoders_have_begun_when_they_are_called() -> None:
    class Eager(Decoder):
        declare = inspect = None  # type: ignore[assignment]

        def decode(self, opened: Any, data: Any, request: Any) -> dict[str, Any]:
            return {"x": data}

    assert Eager().begin(None, memoryview(b"1"), None)() == {"x": b"1"}  # type: ignore[arg-type]


def test_a_batch_may_come_from_one_buffer_that_is_written_again_and_again() -> None:
    images = [{"p": np.random.default_rng(seed).normal(size=(4, 16, 16)).astype(np.float32)} for seed in range(8)]

    def reused() -> Iterator[dict[str, np.ndarray]]:
        buffer = np.empty((4, 16, 16), np.float32)
        for image in images:
            buffer[...] = image["p"]
            yield {"p": buffer}

    assert ms.encode_batch(reused(), threads=2) == [ms.encode(image) for image in images]
    with pytest.raises(InputError, match="a batch is pyramids"):
        ms.encode_batch(None)  # type: ignore[arg-type]
