"""Fit the principal components that the rival `fcm` of `midstream compare` takes as `basis=FILE`.

    python benchmarks/fcm_basis.py -m picodet-s-416 --weights M.onnx -d clips:CALIB -d folder:PHOTOS -o picodet.basis

Fit on material for calibration, and on nothing that is measured on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from midstream import data as datasets
from midstream import models
from midstream.halves.levels import sent
from midstream.models import FloatPyramid, SplitModel
from midstream.pipelines.basis import fit_basis


def pyramids(model: SplitModel, specs: list[str], every: int) -> Iterator[FloatPyramid]:
    """Of every so manieth frame of clips, and of all photographs."""
    for spec in specs:
        for part in datasets.load(spec).parts:
            for image in part[::every]:
                yield sent(model, model.front(datasets.read_image(image.path)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("-d", "--data", action="append", required=True, help="as midstream's --data; may be repeated")
    parser.add_argument("--every", type=int, default=4, help="of clips, one frame of so many (default 4)")
    parser.add_argument("--components", type=int, default=320)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    model = models.load(given.model, given.weights)
    basis = fit_basis(pyramids(model, given.data, given.every), given.components, model.fingerprint)
    basis.write(given.output)
    print(f"{given.output}: {len(basis.rows)} components of {len(basis.mean)} elements a cell")


if __name__ == "__main__":
    main()
