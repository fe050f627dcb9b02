"""What each part of the codec `calibrated` is worth: a profile without it, beside one with all of them.

    python benchmarks/tools.py --model picodet-s-416 --images $MIDSTREAM_ASSETS/coco/calib --max-images 100 --work work

Profiles are fitted to --max-images of the folder's images; bytes and agreement with the uncompressed network (AP, no
labels) are measured on those of the others. The figure is the BD-rate to the profile with all parts: by how much more
bytes the same agreement takes without the part. What a part adds when all others are there is what is listed; they
overlap, so that the losses do not add up.
"""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from midstream import data as datasets
from midstream import models
from midstream.calibration.run import fit
from midstream.calibration.settings import CalibrationSettings, Tools
from midstream.calibration.views import Views
from midstream.cli.console import Stages
from midstream.codec.calibrated.coding import analyse, code
from midstream.codec.calibrated.options import Calibrated
from midstream.codec.calibrated.profile import Profile
from midstream.compare.curves import Refusal, difference
from midstream.data import Dataset, read_image
from midstream.halves.coding import decode_features, prepared
from midstream.halves.levels import completed
from midstream.metrics.accuracy import accuracy_of
from midstream.metrics.agreement import reference_dataset
from midstream.models import SplitModel

#: Bytes an image that the curves are measured near.
SIZES = (1300, 2500, 4800, 9000)


def profile_of(model: SplitModel, files: tuple, work: Path, settings: CalibrationSettings) -> tuple[Profile, set[int]]:
    views = Views(model, files, work, settings)
    with Stages() as stages:
        done = fit(model, views, settings, stages)
    return done.profile, {view.file.id for view in (*views.plain, *views.held_out)}


def curve_of(model: SplitModel, profile: Profile, dataset: Dataset, importance: str) -> list[tuple[float, float]]:
    images = {image.id: read_image(image.path) for image in dataset.images}
    pyramids = {number: model.front(pixels) for number, pixels in images.items()}
    sizes = {number: pixels.shape[:2] for number, pixels in images.items()}
    found = {number: model.back(pyramid, sizes[number]) for number, pyramid in pyramids.items()}
    reference = reference_dataset(dataset, found, model.classes)
    codec = Calibrated(profile=profile, importance=importance)  # type: ignore[arg-type]
    analysed = {}
    for number, pyramid in pyramids.items():
        levels, hints = prepared(model, pyramid, sizes[number], codec)
        analysed[number] = analyse(levels, profile, hints.scores, 1)
    some = list(analysed.values())[::8]
    points, step = [], int(profile.groups[0].scales.max()) - 2
    for wanted in SIZES:
        while step > 0 and np.mean([len(code(each, step)) for each in some]) < wanted:
            step -= 2
        streams = {number: code(each, step) for number, each in analysed.items()}
        received = {
            number: model.back(completed(model, decode_features(data, codec, 1), list(pyramids[number])), sizes[number])
            for number, data in streams.items()
        }
        agreement = accuracy_of(reference, received, model.classes).ap
        points.append((float(np.mean([len(data) for data in streams.values()])), agreement))
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", required=True)
    parser.add_argument("--max-images", type=int, default=100)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", help="these parts, separated by commas")
    parser.add_argument("--fixed-power", action="store_true", help="take the sensitivity as it is, which is quicker")
    arguments = parser.parse_args()
    model = models.load(arguments.model, threads=1)
    dataset = datasets.load(arguments.images)
    every = Tools(power=not arguments.fixed_power)
    names = [field.name for field in fields(Tools) if field.name != "power" or every.power]
    chosen = arguments.only.split(",") if arguments.only else names
    rows: list[tuple[str, list[tuple[float, float]]]] = []
    for name in ("", "network", *chosen):
        tools = replace(every, **{name: False}) if name in names else every
        settings = CalibrationSettings(images=arguments.max_images, tools=tools)
        profile, used = profile_of(model, dataset.images, arguments.work, settings)
        rest = replace(dataset, images=tuple(p for p in dataset.images if p.id not in used)[:100])
        rows.append((name, curve_of(model, profile, rest, "network" if name == "network" else "probe")))
        anchor, test = (tuple(np.array(points).T) for points in (rows[0][1], rows[-1][1]))
        change = difference(anchor, test, "pchip")  # type: ignore[arg-type]
        worth = change.why if isinstance(change, Refusal) else f"{change.bd_rate:+.1f}"
        label = {"": "all parts", "network": "the map by the network's scores"}.get(name, f"without {name}")
        listed = ", ".join(f"{size:,.0f}: {agreement:.1f}" for size, agreement in rows[-1][1])
        print(f"| {label} | {worth} | {listed} |", flush=True)


if __name__ == "__main__":
    main()
