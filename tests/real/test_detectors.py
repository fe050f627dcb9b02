"""Real detectors on real photographs: the assets' own figures, and the codec in the loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.helpers import toy
from tests.helpers.detectors import NETWORKS, load

from midstream import data, models
from midstream.errors import InputError
from midstream.evaluation.codecs import paper_options
from midstream.evaluation.run import run
from midstream.models.graph import cut_graph, load_graph, recomposition_error
from midstream.models.random_inputs import random_inputs


@pytest.mark.parametrize("name", NETWORKS)
def test_average_precision_of_the_assets(name: str, assets: Path) -> None:
    dataset = data.load(f"coco:{assets / 'coco' / 'eval'},{assets / 'coco' / 'instances_eval.json'}")
    network = load(name, assets)
    few, eight_bit = run(network, dataset, [paper_options(4, z=1.5), paper_options(256)])
    assert few.ap_uncompressed == pytest.approx(NETWORKS[name][0], abs=0.15)
    assert few.images == 284
    assert eight_bit.ap == pytest.approx(eight_bit.ap_uncompressed, abs=0.2)
    # Four symbols cost accuracy, but not the task; two bits an element are the most that they take.
    assert 0.6 * few.ap_uncompressed < few.ap < few.ap_uncompressed
    assert few.bits_per_element < 2
    assert 8 * few.side_bytes_per_image / few.elements_per_image < 0.031


@pytest.mark.parametrize("name", NETWORKS)
def test_the_cut_recomposes(name: str, assets: Path) -> None:
    description = models.registry.descriptions()[name]
    graph = load_graph(assets / "models" / description.weights.file)
    cut = cut_graph(graph, [level.tensor for level in description.pyramid])
    assert recomposition_error(graph, cut, random_inputs(graph, {})) <= 2e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_pyramid_shapes(name: str, assets: Path) -> None:
    network = load(name, assets)
    pyramid = network.front(data.read_image(sorted((assets / "coco" / "calib").iterdir())[0]))
    assert [level.shape for level in pyramid.values()] == NETWORKS[name][1]
    assert all(level.dtype == np.float32 for level in pyramid.values())
    if name == "picodet-s-416":  # hard-swish has no value below this
        assert min(pyramid[level].min() for level in ("p3", "p4", "p5")) >= -0.3751


def test_a_decoded_export_needs_one_line_and_says_so(assets: Path, tmp_path: Path) -> None:
    network = load("yolox-nano-416", assets)
    graph = onnx.load(str(assets / "models" / "yolox_nano.onnx"))
    onnx.save(toy.decode_boxes(graph, 416, (8, 16, 32)), str(tmp_path / "yolox_nano.onnx"))
    shipped = Path(models.__file__).parent / "descriptions" / "yolox-nano-416.toml"
    path = tmp_path / "decoded.toml"
    path.write_text(shipped.read_text())
    with pytest.raises(InputError, match="they are decoded already: `decoded = true` is missing"):
        models.load(str(path))
    path.write_text(shipped.read_text() + "decoded = true\n")
    decoded = models.load(str(path))
    pixels = data.read_image(sorted((assets / "coco" / "calib").iterdir())[0])
    found, expected = (each.back(each.front(pixels), pixels.shape[:2]) for each in (decoded, network))
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)
    np.testing.assert_array_equal(found.labels, expected.labels)
    with pytest.raises(InputError, match="take `decoded = true` out"):
        models.load(str(path), assets / "models" / "yolox_nano.onnx")
