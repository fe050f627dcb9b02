"""The thread that computes: takes the newest frame, runs it through, counts what else it would have taken, draws it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from midstream.data.frames import Frame
from midstream.errors import BitstreamError, InputError, MidstreamError
from midstream.models import Image, Output, SplitModel
from midstream.models.annotate import LEAST_SCORE
from midstream.models.detections import Detections
from midstream.pipelines.image import AnchorSize
from midstream.serve.intake import Intake
from midstream.watch.beside import Beside, Coded
from midstream.watch.board import Board, Picture, Point
from midstream.watch.chain import Chain, Crossed
from midstream.watch.controls import Controls

#: The longer side of a frame on the page, and JPEG's quality there.
_MOST_SIDE, _SHOWN_QUALITY = 1280, 85
#: Classes that are named below a frame.
_MOST_NAMED = 6
Agreement = tuple[float | None, float | None, float | None]


class FrameWorker:
    """Runs frames through until the source ends or the program does."""

    def __init__(
        self,
        chain: Chain,
        intake: Intake,
        controls: Controls,
        board: Board,
        beside: Beside | None,
        anchor_size: AnchorSize,
        ended: Callable[[], None],
    ) -> None:
        """`beside` may count what frames take otherwise, at `anchor_size`; `ended` is told when there is no more."""
        self._chain, self._intake, self._controls, self._board = chain, intake, controls, board
        self._beside, self._anchor_size, self._ended = beside, anchor_size, ended
        self._thread = threading.Thread(target=self._work, name="midstream-watch", daemon=True)
        self._error: BaseException | None = None
        self._warm = self._comparing = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the frame that is under way. Raises what the thread ended with, such as a source's InputError."""
        self._thread.join(seconds)
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while not self._controls.closed and (frame := self._intake.get()) is not None:
                self._board.dropped(self._intake.dropped)
                self._one(frame)
        except BaseException as error:  # it is raised where the program waits
            self._error = error
        finally:
            self._ended()

    def _one(self, frame: Frame) -> None:
        image, at_s = frame.image, frame.time_s or 0.0
        if image is None:
            self._board.left_out(f"frame {frame.number}: {frame.problem}", unreadable=True)
            return
        try:
            if not self._warm:  # the first run of everything takes longer, and tells nothing
                self._chain.warm(image)
                self._warm, frame = True, replace(frame, taken=time.monotonic())
            waited_s = time.monotonic() - frame.taken
            self._ask(at_s)
            crossed = self._chain.run(image, at_s)
        except (BitstreamError, InputError) as error:
            self._board.left_out(f"frame {frame.number}: {error}", unreadable=False)
            return
        coded, agreement = self._beside_it(image, crossed)
        jpeg, x264 = (None if data is None else len(data) for data in (coded.jpeg, coded.x264))
        point = Point(frame.number, at_s, crossed.size, crossed.key, jpeg, x264, waited_s, crossed.seconds,
                      crossed.quality, agreement)  # fmt: skip
        self._board.add(point, partial(self._picture, frame, crossed))

    def _ask(self, at_s: float) -> None:
        """Of the chain what people ask for; to compare what is found begins with a key, for a decoder does."""
        asked = self._controls.take_key()
        if self._controls.uncoded != self._comparing:
            self._comparing = self._controls.uncoded
            asked = asked or self._comparing
            if self._beside is not None:
                self._beside.forget()
        self._chain.aim(self._controls.target, at_s)
        if asked:
            self._chain.ask_key()

    def _beside_it(self, image: Image, crossed: Crossed) -> tuple[Coded, Agreement]:
        """The frame as others code it, and how far what is found agrees, in theirs as well."""
        model, resized = self._chain.model, self._anchor_size == "input"
        coded, size = Coded(), (image.shape[0], image.shape[1])
        images: list[Image | None] = [None, None]
        if self._beside is not None:
            shown = model.resized(image) if resized else image
            coded = self._beside.coded(shown, crossed.key)
            if self._comparing:
                images = self._beside.decoded(coded, (shown.shape[0], shown.shape[1]), crossed.key)
        if not self._comparing:
            return coded, (None, None, None)
        own, jpeg, x264 = self._chain.agreement(crossed, images, resized, size)
        return coded, (own, jpeg, x264)

    def _picture(self, frame: Frame, crossed: Crossed) -> Picture | None:
        assert frame.image is not None
        model = self._chain.model
        height, width = frame.image.shape[:2]
        try:
            shown = frame.image
            if crossed.found is not None:
                shown = model.task.annotate(shown, crossed.found, model.classes)
            data = _jpeg(shown)
        except (MidstreamError, cv2.error):  # of a size that nothing can be drawn into; the figures go on
            return None
        return Picture(frame.number, data, width, height, in_words(model, crossed.found))


def _jpeg(image: Image) -> bytes:
    """Of the size that a page shows."""
    height, width = image.shape[:2]
    share = _MOST_SIDE / max(height, width)
    if share < 1:
        size = (max(round(width * share), 1), max(round(height * share), 1))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _SHOWN_QUALITY])
    if not done:
        raise InputError(f"an image of {width}x{height} cannot be shown")
    return bytes(data.tobytes())


def in_words(model: SplitModel, found: Output | None) -> str:
    """What is drawn, for those who read it: how many of which class, the most frequent first."""
    if not isinstance(found, Detections):
        return ""
    labels = found.labels[found.scores >= LEAST_SCORE].tolist()
    counts = Counter(model.classes[label] if 0 <= label < len(model.classes) else str(label) for label in labels)
    named = [f"{count} × {name}" for name, count in counts.most_common(_MOST_NAMED)]
    rest = len(labels) - sum(count for _, count in counts.most_common(_MOST_NAMED))
    return ", ".join([*named, *([f"{rest} more"] if rest else [])]) or "nothing found"
