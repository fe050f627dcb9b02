"""Evaluation as one asks for it: one codec by name, images wherever they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from midstream.codec.api import DEFAULT_CODEC
from midstream.codec.base import Codec
from midstream.codec.registry import make_codec
from midstream.data.given import Images, given
from midstream.evaluation.run import EvalResult, run
from midstream.models import SplitModel, load
from midstream.models.base import takes_arrays


def evaluate(
    model: SplitModel | str,
    data: Images,
    codec: str | Codec = DEFAULT_CODEC,
    *,
    limit: int | None = None,
    cache: str | Path | None = None,
    strict: bool = False,
    on_image: Callable[[], None] = lambda: None,
    **options: Any,
) -> EvalResult:
    """Measure rate and accuracy: run the front, encode, decode the bytes, run the back, score its outputs.

    >>> model = ms.load_model("streets-r16")
    >>> result = ms.evaluate(model, "scenes:5,0", symbols=4, z=1.5)
    >>> print(result)                                              # the table of `midstream eval`
    >>> result.bytes_per_image, result.scores["segm_ap"], result.scores_uncompressed["segm_ap"]

    To measure several codecs side by side, with one run of the front for all of them, there is `evaluation.run`.

    Args:
        model: what `load_model` or `split` gives, or a name.
        data: with labels of the network's task, or without: then accuracy is agreement with the uncompressed network.
            A folder, a data set or what names one, or a list of files and arrays (uint8 RGB [H, W, 3]).
        codec: a name with its `options`, or a `Codec` with its own, as `midstream.encode` takes them.
        limit: the first so many images.
        cache: a folder for what the front makes, which later evaluations take from there.
        strict: end at the first image that cannot be read.
        on_image: called after every image.
        options: of the codec.

    Raises:
        InputError: none of the images can be read (with `strict`, one of them), an unusable option, a profile of
            another network, labels of no class in common.
    """
    chosen = make_codec(codec, options)
    network = load(model) if isinstance(model, str) else model
    folder = None if cache is None else Path(cache)
    with given(data, limit, arrays=takes_arrays(network)) as dataset:
        return run(network, dataset, [chosen], folder, on_image=on_image, strict=strict)[0]
