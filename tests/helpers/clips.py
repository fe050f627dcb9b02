"""Small clips: squares that move over a background, in folders, as a video, and in MOTChallenge's layout."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, SIDE = 64, 48, 16
RATE = 10.0


def box(number: int, step: int = 2) -> tuple[int, int, int, int]:
    """Left, top, width, height of the square in a frame."""
    return 4 + step * number, 10 + number, SIDE, SIDE


def frames(count: int, seed: int = 0, step: int = 2) -> list[NDArray[np.uint8]]:
    """uint8 [48, 64, 3]."""
    rng = np.random.default_rng(seed)
    ground = cv2.resize(rng.integers(0, 200, (4, 5, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    texture = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    out = []
    for number in range(count):
        frame = ground.copy()
        left, top, width, height = box(number, step)
        frame[top : top + height, left : left + width] = texture[: HEIGHT - top, : WIDTH - left]
        out.append(frame)
    return out


def write_frames(folder: Path, images: list[NDArray[np.uint8]]) -> Path:
    """As 1.png, 2.png, ..., 10.png."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images, start=1):
        cv2.imwrite(str(folder / f"{number}.png"), image[:, :, ::-1])
    return folder


def write_clips(root: Path, counts: tuple[int, ...] = (5, 4), category: str | None = "cat") -> Path:
    """A sub-folder `clip0`, `clip1`, ... a clip, and clips.json with the boxes of their squares; the last is hidden
    in its last frame."""
    about = {}
    for index, count in enumerate(counts):
        write_frames(root / f"clip{index}", frames(count, index, 2 + index))
        boxes: list[tuple[int, int, int, int] | None] = [box(n, 2 + index) for n in range(count)]
        if index == len(counts) - 1:
            boxes[-1] = None
        about[f"clip{index}"] = {"fps": RATE, "frames": count, "category": category, "boxes": boxes}
    (root / "clips.json").write_text(json.dumps(about))
    return root


def write_mot(root: Path, sequences: int = 1, count: int = 4) -> Path:
    """Sequences `S-00`, ... with the square as pedestrian 7, a car, a distractor, and one that does not count."""
    for index in range(sequences):
        folder = root / f"S-{index:02}"
        write_frames(folder / "img1", frames(count, index))
        (folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname=S-{index:02}\nimDir=img1\nframeRate={RATE:g}\nseqLength={count}\n"
            f"imWidth={WIDTH}\nimHeight={HEIGHT}\nimExt=.png\n"
        )
        rows = []
        for number in range(count):
            left, top, width, height = box(number)
            rows.append(f"{number + 1},7,{left + 1},{top + 1},{width},{height},1,1,1.0")
            rows.append(f"{number + 1},8,1,1,10,10,1,3,1.0")
            rows.append(f"{number + 1},9,40,30,10,10,0,8,0.5")
        (folder / "gt").mkdir()
        (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n")
    return root
