"""Train the network on fresh scenes, from nothing.

    python training/train.py runs/streets --steps 4700

writes `runs/streets/last.pt` every few minutes and goes on from there when started again; the schedule (warm-up, then
a cosine down to nothing) follows --steps, which may be changed between runs. `log.jsonl` holds the curve. Uses a GPU
where there is one.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from evaluate import mask_ap
from network import NAMES, build
from scenes import Plan, Scenes

_SEED = 1
_WARM_UP = 150
_DECAY = 0.02


class Teacher(nn.Module):
    """The network with one more output that only training has: the class of each pixel, at every level.

    Its loss reaches all of the backbone from the first step on, long before proposals are any good.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = build()
        self.pixels = nn.Conv2d(self.network.backbone.out_channels, len(NAMES), 1)
        self._bridged: dict[str, torch.Tensor] = {}
        self.network.backbone.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, output: dict[str, torch.Tensor]) -> None:
        self._bridged = output

    def forward(self, images: torch.Tensor, targets: list[dict[str, torch.Tensor]], classes: torch.Tensor) -> Any:
        losses = self.network(list(images), targets)
        levels = [level for name, level in self._bridged.items() if name != "p6"]
        terms = []
        for index, level in enumerate(levels):
            stride = 4 << index
            wanted = classes[:, stride // 2 :: stride, stride // 2 :: stride].long()
            terms.append(functional.cross_entropy(self.pixels(level), wanted))
        losses["pixels"] = sum(terms) / len(terms)
        return losses


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where checkpoints and the log go")
    parser.add_argument("--steps", type=int, default=4700, help="of the whole schedule")
    parser.add_argument("--batch", type=int, default=4, help="images a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--small", type=float, default=0.42, help="share of the steps that see images of half the size")
    parser.add_argument("--bands", type=float, default=0.8, help="share of the steps that see bands of images")
    parser.add_argument("--average", type=float, default=0.995, help="of the weights, per step")
    parser.add_argument("--save", type=int, default=50, help="steps between checkpoints")
    parser.add_argument("--measure", type=int, default=500, help="steps between measurements")
    parser.add_argument("--images", type=int, default=60, help="to measure on")
    parser.add_argument("--threads", type=int, default=0, help="0 for all cores")
    return parser.parse_args()


def rate(step: int, steps: int) -> float:
    """Share of the highest learning rate."""
    return min((step + 1) / _WARM_UP, 0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1)))


def main() -> None:
    options = arguments()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(_SEED)
    torch.set_flush_denormal(True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher = Teacher().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = AveragedModel(teacher, multi_avg_fn=get_ema_multi_avg_fn(options.average), use_buffers=True)
    groups = [
        {"params": [p for p in teacher.parameters() if p.ndim > 1], "weight_decay": _DECAY},
        {"params": [p for p in teacher.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=options.rate, fused=True)
    options.folder.mkdir(parents=True, exist_ok=True)
    last, step = options.folder / "last.pt", 0
    if last.is_file():
        state = torch.load(last, map_location=device, weights_only=True)
        teacher.load_state_dict(state["teacher"])
        averaged.load_state_dict(state["averaged"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]
        torch.set_rng_state(state["rng"].cpu())
    plan = Plan(options.batch, round(options.small * options.steps), round(options.bands * options.steps))
    batches = iter(DataLoader(Scenes(step, plan), batch_size=None, num_workers=1, prefetch_factor=8))
    log, began, first = (options.folder / "log.jsonl").open("a"), time.monotonic(), step
    smooth: dict[str, float] = {}
    while step < options.steps:
        images, targets, classes = next(batches)
        images = (images.to(device).float() / 255).contiguous(memory_format=torch.channels_last)
        targets = [{key: value.to(device) for key, value in each.items()} for each in targets]
        for group in optimizer.param_groups:
            group["lr"] = options.rate * rate(step, options.steps)
        teacher.train()
        losses = teacher(images, targets, classes.to(device))
        total = sum(losses.values())
        if not torch.isfinite(total):
            raise SystemExit(f"step {step}: the loss is not finite: {losses}")
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(teacher.parameters(), 10.0)
        optimizer.step()
        averaged.update_parameters(teacher)
        step += 1
        for key, value in losses.items():
            smooth[key] = 0.95 * smooth.get(key, value.item()) + 0.05 * value.item()
        if step % 10 == 0:
            speed = (time.monotonic() - began) / (step - first)
            left = speed * (options.steps - step) / 60
            shown = "  ".join(f"{key.removeprefix('loss_')} {value:.3f}" for key, value in smooth.items())
            print(f"step {step}/{options.steps}  {speed:.2f} s/step  {left:.0f} min left  {shown}", flush=True)
            record(log, {"step": step, "seconds": round(time.monotonic() - began), **smooth})
        if step % options.save == 0 or step == options.steps:
            save(last, teacher, averaged, optimizer, step)
        if step % options.measure == 0 or step == options.steps:
            ap, ap50 = mask_ap(averaged.module.network, options.images, options.folder)
            print(f"step {step}: mask AP {ap:.1f}, AP50 {ap50:.1f} on {options.images} scenes", flush=True)
            record(log, {"step": step, "ap": ap, "ap50": ap50})


def record(log: Any, entry: dict[str, float]) -> None:
    log.write(json.dumps({key: round(value, 4) for key, value in entry.items()}) + "\n")
    log.flush()


def save(path: Path, teacher: nn.Module, averaged: nn.Module, optimizer: Any, step: int) -> None:
    """Written beside and renamed, so that a cut leaves the last whole one."""
    state = {
        "teacher": teacher.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "rng": torch.get_rng_state(),
    }
    beside = path.with_suffix(".part")
    torch.save(state, beside)
    beside.replace(path)


if __name__ == "__main__":
    main()
