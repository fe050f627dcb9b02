"""Torch tensors through the codec, and a torch network through the evaluation."""

import numpy as np
import pytest
import torch

import midstream as ms
from midstream.data import Dataset, ImageFile
from midstream.evaluation.codecs import paper_options
from midstream.evaluation.run import run
from midstream.models.torch_common import RANDOM
from midstream.models.torchvision_models import load_torchvision


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_dtype_comes_back_as_it_went_in(dtype):
    x = torch.randn(5, 9, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[2] = 0.3
    data = ms.encode({"p3": x, "p4": x.transpose(1, 2)[:, ::2]}, symbols=16)
    back = ms.decode(data, like="torch")
    assert back["p3"].dtype == dtype
    assert back["p4"].shape == (5, 4, 9)
    assert torch.equal(back["p3"][2], x[2])
    assert (back["p3"] - x).float().square().mean() < 0.02
    plain = ms.decode(data)
    assert torch.equal(back["p3"].float(), torch.from_numpy(plain["p3"].astype(np.float32)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.uint8])
@pytest.mark.parametrize(("axes", "shape"), [("1NC", (1, 13, 6)), ("HWC", (3, 4, 6)), ("GNC", (2, 13, 6)), ("C", (6,))])
def test_arrays_of_other_axes_come_back_as_tensors(dtype, axes, shape):
    x = (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 20).to(dtype)
    more = {"grid": (3, 4), "extra": 1} if "N" in axes else {}
    pyramid = {"x": ms.Tensor(x, axes, **more)}
    data = ms.encode(pyramid) if dtype in (torch.int8, torch.uint8) else ms.encode(pyramid, symbols=256)
    back = ms.decode(data, like="torch")["x"]
    assert (back.shape, back.dtype) == (x.shape, dtype)
    assert back.is_contiguous()
    assert (back.float() - x.float()).abs().max() <= (0 if dtype in (torch.int8, torch.uint8) else 0.5)
    arrays = ms.decode(data)["x"]
    assert torch.equal(back.float(), torch.from_numpy(arrays.astype(np.float32)))


def test_tensors_and_arrays_give_the_same_bytes():
    x = torch.randn(3, 8, 8, requires_grad=True)
    assert ms.encode({"x": x}) == ms.encode({"x": x.detach().numpy()})


def test_what_cannot_be_coded_is_named():
    with pytest.raises(ms.InputError, match="element type int64"):
        ms.encode({"x": torch.zeros(1, 2, 2, dtype=torch.int64)})
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(ms.InputError, match=r"level 'x': a torch tensor of type .* on the device meta"):
            ms.encode({"x": torch.zeros(1, 2, 2, dtype=dtype, device="meta")})
    with pytest.raises(ms.InputError, match="level 'x': a torch tensor"):
        ms.encode({"x": torch.zeros(1, 2, 2).to_sparse()})


def test_a_derived_level_is_recomputed_and_masks_are_scored(tmp_path):
    import cv2

    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "0.png"), pixels)
    model = load_torchvision("maskrcnn-r50-fpn", RANDOM, min_size=96, max_size=128, score_threshold=0.0)
    images = Dataset("folder", None, (ImageFile(1, tmp_path / "0.png"),), None)
    sent = {name: level for name, level in model.front(pixels[:, :, ::-1]).items() if name != "pool"}
    (result,) = run(model, images, [paper_options(256)])
    assert result.bytes_per_image == len(ms.encode(sent, symbols=256))
    assert result.elements_per_image == sum(v.size for v in model.front(pixels).values())
    assert result.segm_ap_uncompressed == pytest.approx(100)
