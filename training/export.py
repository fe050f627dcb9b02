"""Write a trained network as one ONNX file with 16-bit weights, and say how far it is from torch.

    python training/export.py runs/streets/last.pt streets-r16.onnx

The tensors p2 to p6 are where src/midstream/models/descriptions/streets-r16.toml cuts it. Suppression and the heads are
in the graph; masks leave it as they are in their boxes. The check runs both networks on scenes and prints the largest
differences of the pyramid, and of the detections that both have.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import concat_box_prediction_layers

from evaluate import detect
from midstream.data.scenes import generate
from midstream.files import write_bytes
from midstream.masks import decode_mask
from midstream.models.description import parse_description
from midstream.models.onnx_model import OnnxModel
from network import LEVELS, MEAN, SIZE, STD, build, subsampled
from scenes import SELECTION

DESCRIPTION = Path(__file__).parent.parent / "src/midstream/models/descriptions/streets-r16.toml"
OUTPUTS = ("boxes", "scores", "labels", "masks", "proposals", "objectness")
#: The last that torch's exporter by tracing writes; ONNX Runtime has known it since 1.14.
_OPSET = 17
#: Smaller ones (biases, shapes, thresholds) stay as they are.
_LEAST_ELEMENTS = 256


class Graph(nn.Module):
    """The network's parts in the order of torchvision's own `forward`, from a normalised image [1, 3, H, W]."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """The levels, then OUTPUTS."""
        backbone, rpn, heads = self.network.backbone, self.network.rpn, self.network.roi_heads
        levels = backbone.pyramid(image)
        levels.append(subsampled(levels[-1]))
        features = backbone.bridged(levels)
        listed = ImageList(image, [SIZE])
        values = list(features.values())
        logits, offsets = rpn.head(values)
        anchors = rpn.anchor_generator(listed, values)
        counts = [each.shape[1] * each.shape[2] * each.shape[3] for each in logits]
        chances, moves = concat_box_prediction_layers(logits, offsets)
        proposals = rpn.box_coder.decode(moves.detach(), anchors).view(1, -1, 4)
        boxes, _ = rpn.filter_proposals(proposals, chances, listed.image_sizes, counts)
        found = heads(features, boxes, listed.image_sizes)[0][0]
        outputs = [found[name] for name in OUTPUTS[:4]]
        return *levels, *outputs, proposals[0], torch.sigmoid(chances.reshape(-1))


def load(checkpoint: Path) -> Any:
    """The averaged network of a checkpoint, ready to run on the CPU."""
    network = build()
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["averaged"]
    prefix = "module.network."
    network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    return network.eval()


def halved(network: Any) -> Any:
    """A copy with its weights rounded to 16 bits: nearly those stored, of which some hold a normalisation, too."""
    rounded = copy.deepcopy(network)
    with torch.no_grad():
        for weight in rounded.parameters():
            if weight.numel() >= _LEAST_ELEMENTS:
                weight.copy_(weight.half().float())
    return rounded


def export(network: Any) -> onnx.ModelProto:
    """The graph with its 16-bit weights, which are made 32 bits wide when it is loaded."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing: sizes are fixed here, and shall be
        path = f"{folder}/graph.onnx"
        names = [*LEVELS, *OUTPUTS]
        torch.onnx.export(
            Graph(network).eval(), (torch.rand(1, 3, *SIZE),), path, input_names=["picture"], output_names=names,
            opset_version=_OPSET, dynamo=False, dynamic_axes={name: {0: "n"} for name in OUTPUTS[:4]},
        )  # fmt: skip
        model = onnx.load(path)
    inner = [output for output in model.graph.output if output.name in LEVELS]
    for output in inner:  # tensors within the graph, where it is cut
        model.graph.output.remove(output)
    model.graph.value_info.extend(inner)
    _halve(model.graph)
    onnx.checker.check_model(model)
    return model


def _halve(graph: onnx.GraphProto) -> None:
    casts = []
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _LEAST_ELEMENTS:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}/16"))
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def differences(network: Any, model: OnnxModel, count: int) -> dict[str, float]:
    """The largest of each kind over the first `count` scenes for selection.

    Detections are paired by class and mask; `unpaired` counts those of torch, of a score of 0.1 or more, without one
    that overlaps its mask by nine tenths.
    """
    worst = dict.fromkeys(("pyramid, of its deviation", "box, pixels", "score", "unpaired", "detections"), 0.0)
    mean, std = (torch.tensor(value)[None, :, None, None] for value in (MEAN, STD))
    for seed in range(SELECTION, SELECTION + count):
        image = generate(seed).image
        tensor = (torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float() / 255 - mean) / std
        with torch.inference_mode():
            levels = network.backbone.pyramid(tensor)
        pyramid = model.front(image)
        for name, level in zip(LEVELS, levels, strict=False):
            off = np.abs(level[0].numpy() - pyramid[name]).max() / level.std().item()
            worst["pyramid, of its deviation"] = max(worst["pyramid, of its deviation"], float(off))
        ours, theirs = model.back(pyramid, SIZE), detect(network, image)
        assert ours.masks is not None
        assert theirs.masks is not None
        masks = [decode_mask(mask) for mask in ours.masks]
        for index in np.flatnonzero(theirs.scores >= 0.1):
            worst["detections"] += 1
            mask = decode_mask(theirs.masks[index])
            same = [
                i for i in np.flatnonzero(ours.labels == theirs.labels[index] - 1)
                if (masks[i] & mask).sum() >= 0.9 * (masks[i] | mask).sum()
            ]  # fmt: skip
            if not same:
                worst["unpaired"] += 1
                continue
            best = min(same, key=lambda i: float(np.abs(ours.boxes[i] - theirs.boxes[index]).max()))
            worst["box, pixels"] = max(
                worst["box, pixels"], float(np.abs(ours.boxes[best] - theirs.boxes[index]).max())
            )
            worst["score"] = max(worst["score"], float(abs(ours.scores[best] - theirs.scores[index])))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--images", type=int, default=20, help="scenes to compare on")
    options = parser.parse_args()
    network = load(options.checkpoint)
    graph = export(network)
    write_bytes(str(options.output), graph.SerializeToString())
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")
    model = OnnxModel(parse_description(DESCRIPTION.read_text("utf-8"), DESCRIPTION.name), options.output)
    for what, reference in (("32-bit torch", network), ("torch with 16-bit weights", halved(network))):
        worst = differences(reference, model, options.images)
        print(f"against {what}: " + ", ".join(f"{key} {value:.3g}" for key, value in worst.items()))


if __name__ == "__main__":
    main()
