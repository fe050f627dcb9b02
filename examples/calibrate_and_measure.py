"""Fit the codec `calibrated` to a network, then measure rate and accuracy beside the founding paper's codec.

    python examples/calibrate_and_measure.py   # the network that ships, on scenes made on the spot: 2 to 3 minutes
    python examples/calibrate_and_measure.py --model my.toml --images photos --data coco:val2017,instances_val2017.json

Calibration needs no labels. Measuring does, or it reports the agreement with the uncompressed network.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import midstream as ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="streets-r16", help="a name from `midstream models`, or a TOML file")
    parser.add_argument("--images", default="scenes:20,10000", help="to calibrate on: a folder, or scenes:COUNT,SEED")
    parser.add_argument("--data", default="scenes:5,0", help="to measure on")
    parser.add_argument("--passes", type=int, default=1, help="passes of the network over all images; 64 is sensible")
    parser.add_argument("--output", type=Path, default=Path("network.profile"))
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="  %(message)s")  # what the calibration is doing
    network = ms.load_model(arguments.model)
    print(network)
    # The same seed and passes give the same profile.
    profile = ms.calibrate(network, arguments.images, max_images=100, passes=arguments.passes, seed=0)
    profile.write(arguments.output)
    print(f"{arguments.output}: {profile}")

    codecs = [
        ms.Paper(symbols=4, z=1.5),
        ms.Calibrated(profile=profile, quality=60),
        ms.Calibrated(profile=profile, quality=20),
    ]
    print("codec                    bytes an image      AP   uncompressed")
    for result in ms.evaluation.run(network, ms.data.load(arguments.data), codecs):
        name = f"{result.codec['codec']} {result.codec.get('quality', '')}"
        print(f"{name:24} {result.bytes_per_image:>14,.0f} {result.ap:>7.2f} {result.ap_uncompressed:>14.2f}")


if __name__ == "__main__":
    main()
