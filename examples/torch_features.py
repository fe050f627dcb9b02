"""Code the features of a torch network of your own: cut it, run its front, encode, decode, run its back.

    python examples/torch_features.py   # needs the extra `torch`

Replace `Net` by your network and "backbone" by the path of the submodule to cut at, as in `model.named_modules()`. What
that submodule returns for one image has to be a [1, C, H, W] tensor, or a dict, list or tuple of them.
"""

from __future__ import annotations

import torch
from torch import nn

import midstream as ms


class Backbone(nn.Module):
    """Two levels of features, at an eighth and a sixteenth of the image's size."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 32, 7, stride=4, padding=3), nn.ReLU(), nn.MaxPool2d(2))
        self.coarse = nn.Sequential(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU())

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        fine = self.fine(image)
        return {"fine": fine, "coarse": self.coarse(fine)}


class Net(nn.Module):
    """A classifier of ten classes on top of both levels."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.head = nn.Linear(32 + 64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        levels = self.backbone(image).values()
        return self.head(torch.cat([level.mean(dim=(2, 3)) for level in levels], dim=1))


def main() -> None:
    torch.manual_seed(0)
    model, image = Net().eval(), torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        whole = model(image)  # what the network gives in one piece

    split = ms.models.TorchSplit(model, at=["backbone"])
    pyramid = split.front(image)  # {"fine": [32, 32, 32], "coarse": [64, 16, 16]}
    raw = sum(level.numel() * level.element_size() for level in pyramid.values())
    print(f"features: {raw:,} bytes; image, 8 bits: {image.numel():,} bytes")

    for options in ({"symbols": 256, "thresholds": "range"}, {"symbols": 8}, {"symbols": 4}):
        data = ms.encode(pyramid, **options)
        decoded = ms.decode(data, like="torch")
        # The image lends its shape only: its content reaches the back through the features or not at all.
        logits = split.back(decoded, torch.empty_like(image))
        off = (logits - whole).abs().max() / whole.abs().max()
        print(f"{options['symbols']:>3} symbols: {len(data):,} bytes, logits off by {off:.2%} of the largest")


if __name__ == "__main__":
    main()
