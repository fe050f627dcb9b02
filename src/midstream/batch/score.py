"""The figures of `midstream eval` from the rows of a batch evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from midstream.batch.clips import frame_id, numbers_of
from midstream.batch.folder import Folder
from midstream.batch.schema import columns_for, read_outputs
from midstream.codec.base import Codec
from midstream.data import Dataset, ImageFile
from midstream.errors import InputError
from midstream.evaluation.run import EvalResult, Images, Tally, result_of, settled
from midstream.models import SplitModel

_COLUMNS = [
    "id", "height", "width", "bytes", "payload_bytes", "elements", "input_bytes",
    "front_ms", "encode_ms", "decode_ms", "back_ms",
]  # fmt: skip


def score(folder: Folder, network: SplitModel, codec: Codec, dataset: Dataset | None) -> EvalResult:
    """Rate and accuracy over the images of a folder that did not fail.

    Args:
        folder: of a job `eval`; outputs of all its images, or frames, are held in memory.
        network: of the job.
        codec: of the job.
        dataset: with the ground truth; its images, or frames, are found by their ids. Without one, and for one without
            labels, accuracy is agreement with the uncompressed network.

    Raises:
        InputError: no image was evaluated; and as `evaluate`.
    """
    numbers = _numbers(folder, dataset)
    if not numbers:
        raise InputError(f"{folder.path}: no image was evaluated; see the table of failures")
    if dataset is None:
        files = tuple(ImageFile(number, Path(name)) for name, number in numbers.items())
        dataset = Dataset(spec=str(folder.path), labels=None, images=files, ground_truth=None)
    dataset = dataset.only(set(numbers.values()))
    images, tally = Images(), Tally()
    _add(folder, numbers, network, images, tally)
    # Where scores are equal, the order of the images decides: that of the data set, as in `midstream eval`.
    images.outputs, tally.outputs = (
        {image.id: found[image.id] for image in dataset.images} for found in (images.outputs, tally.outputs)
    )
    dataset, uncompressed = settled(network, dataset, images)
    return result_of(network, dataset, codec, images, tally, uncompressed)


def _numbers(folder: Folder, dataset: Dataset | None) -> dict[str, int]:
    """The id of every row as a number of the data set, or by its place in the order of names."""
    names: list[str] = []
    for batch in _images(folder, ["id"]):
        names += batch["id"].to_pylist()
    if dataset is None:
        return {name: number for number, name in enumerate(sorted(names), start=1)}
    known = numbers_of(dataset, folder.manifest().groups)
    return {name: known[name] for name in names if name in known}


def _images(folder: Folder, columns: list[str]) -> Iterator[pa.Table]:
    """Columns of the table of results with a row an image; of groups, with a row for each frame that was coded."""
    if not folder.manifest().groups:
        yield from folder.batches(folder.results, columns)
        return
    for batch in folder.batches(folder.results, ["id", "frames"]):
        for row in range(batch.num_rows):
            structs = batch["frames"][row].values
            # Not from_struct_array: of a slice, that of PyArrow 17 gives columns that are too long.
            frames = pa.Table.from_arrays(structs.flatten(), [field.name for field in structs.type])
            frames = frames.filter(pc.is_valid(frames["bytes"]))
            clip = batch["id"][row].as_py().rpartition("#")[0]
            names = [frame_id(clip, number) for number in frames["frame"].to_pylist()]
            yield frames.append_column("id", pa.array(names, pa.string())).select(columns)


def _add(folder: Folder, numbers: dict[str, int], network: SplitModel, images: Images, tally: Tally) -> None:
    columns = columns_for(network.task)
    for batch in _images(folder, [*_COLUMNS, *columns]):
        found, uncompressed = (read_outputs(network, batch[name]) for name in columns)
        for i, row in enumerate(batch.drop_columns(list(columns)).to_pylist()):
            number = numbers.get(row["id"])
            if number is None:  # of an earlier run on more images
                continue
            tally.outputs[number], images.outputs[number] = found[i], uncompressed[i]
            images.sizes[number] = (row["height"], row["width"])
            tally.total_bytes += row["bytes"]
            tally.payload_bytes += row["payload_bytes"]
            tally.encode_s += row["encode_ms"] / 1e3
            tally.decode_s += row["decode_ms"] / 1e3
            tally.back_s += row["back_ms"] / 1e3
            images.elements += row["elements"]
            images.input_bytes += row["input_bytes"]
            images.front_s += row["front_ms"] / 1e3
            images.fronts += 1
