"""Write tracking.json: made tracks, and what TrackEval says of them.

Run by hand in an environment of its own, as TrackEval brings another build of OpenCV: pip install trackeval==1.3.0
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from trackeval.metrics import CLEAR, HOTA, Identity

Frame = list[list[float]]


def made(seed: int) -> tuple[list[Frame], list[Frame]]:
    """True and found tracks, by frame rows of id, left, top, right, bottom, in whole and half pixels.

    Objects come and go; what is found of them is displaced, lost now and then, and changes its identity; some is found
    where nothing is. Seeds from 6 on have whole frames without one or the other.
    """
    rng = np.random.default_rng(seed)
    frames, objects = int(rng.integers(4, 14)), int(rng.integers(1, 6))
    starts = rng.integers(0, 60, (objects, 2))
    speeds = rng.integers(-4, 5, (objects, 2))
    names = rng.permutation(20)[:objects]
    true: list[Frame] = []
    found: list[Frame] = []
    for time in range(frames):
        mine: Frame = []
        theirs: Frame = []
        for each in range(objects):
            if rng.random() < 0.15:
                continue
            left, top = (starts[each] + speeds[each] * time).tolist()
            mine.append([each, left, top, left + 16, top + 24])
            if rng.random() < 0.1:
                names[each] = names[rng.integers(objects)] if rng.random() < 0.5 else 20 + time
            if rng.random() < 0.85 and names[each] not in [row[0] for row in theirs]:
                a, b, c, d = (rng.integers(-6, 7, 4) / 2).tolist()
                theirs.append([int(names[each]), left + a, top + b, left + 16 + c, top + 24 + d])
        if rng.random() < 0.3:
            theirs.append([90 + time % 2, 100.0, 100.0, 120.0, 130.0])
        true.append([] if seed >= 6 and time % 3 == 1 else mine)
        found.append([] if seed >= 6 and time % 4 == 2 else theirs)
    return (true, [[] for _ in found]) if seed == 8 else ([[] for _ in true], found) if seed == 9 else (true, found)


def judged(true: list[Frame], found: list[Frame]) -> dict[str, Any]:
    ids = [sorted({int(row[0]) for frame in frames for row in frame}) for frames in (true, found)]
    data: dict[str, Any] = {"num_timesteps": len(true), "similarity_scores": []}
    for name, frames, known in (("gt", true, ids[0]), ("tracker", found, ids[1])):
        data[f"{name}_ids"] = [np.array([known.index(int(row[0])) for row in frame], int) for frame in frames]
        data[f"num_{name}_ids"] = len(known)
        data[f"num_{name}_dets"] = sum(map(len, frames))
    for mine, theirs in zip(true, found, strict=True):
        one, other = (np.array(rows, float).reshape(-1, 5)[:, 1:] for rows in (mine, theirs))
        low = np.maximum(one[:, None, :2], other[None, :, :2])
        high = np.minimum(one[:, None, 2:], other[None, :, 2:])
        common = np.clip(high - low, 0, None).prod(2)
        areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (one, other)]
        data["similarity_scores"].append(common / (areas[0][:, None] + areas[1][None] - common))
    quiet = {"PRINT_CONFIG": False}
    return {
        "hota": HOTA().eval_sequence(data),
        "clear": CLEAR(quiet).eval_sequence(data),
        "identity": Identity(quiet).eval_sequence(data),
    }


def combined(sequences: dict[str, Any]) -> dict[str, float]:
    quiet = {"PRINT_CONFIG": False}
    return {
        "hota": float(np.mean(HOTA().combine_sequences({k: v["hota"] for k, v in sequences.items()})["HOTA"])),
        "mota": float(CLEAR(quiet).combine_sequences({k: v["clear"] for k, v in sequences.items()})["MOTA"]),
        "idf1": float(Identity(quiet).combine_sequences({k: v["identity"] for k, v in sequences.items()})["IDF1"]),
    }


def main() -> None:
    cases, sequences = [], {}
    for seed in range(10):
        true, found = made(seed)
        sequences[str(seed)] = judged(true, found)
        cases.append({"true": true, "found": found, "wanted": combined({"one": sequences[str(seed)]})})
    together = combined(sequences)
    about = "made by tests/golden/make_tracking.py with TrackEval 1.3.0"
    text = json.dumps({"about": about, "cases": cases, "together": together})
    (Path(__file__).parent / "tracking.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
