"""What a profile holds, for people and programs: inspect, and what calibrate prints at its end."""

from __future__ import annotations

import math

import numpy as np

from midstream.cli.console import print_json, print_table
from midstream.codec.calibrated.profile import Profile
from midstream.files import first_bytes
from midstream.wording import counted, readable

_SHOWN = (100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 1)
#: Bytes of the length that a .safetensors file begins with; a document follows it.
_LENGTH = 8


def is_profile(source: str) -> bool:
    """Whether a file, or what waits on standard input, begins as a .safetensors file does, which a profile is."""
    begin = first_bytes(source, _LENGTH + 1)
    return begin[_LENGTH:] == b"{" and begin[_LENGTH - 1] == 0  # no length is that of more than 2^56 bytes


def inspect_profile(source: str, json: bool) -> None:
    """Print what was calibrated, and what each quality is expected to take and to lose. Raises InputError."""
    profile = Profile.read(source)
    if json:
        print_json(_report(profile))
        return
    about = profile.about
    rows = []
    for number, group in enumerate(profile.groups):
        shared = "of the first group" if number >= profile.layers else "its own"
        for at, level in enumerate(group.levels):
            height, width = level.about.size
            shape = f"{level.about.channels}x{height}x{width}"
            own = [f"{len(group.scales)}", shared] if at == 0 else ["", ""]
            rows.append([readable(level.about.name), shape, f"{len(level.basis)}", *own])
    clips = f" and {counted(about.frames, 'frame')} of clips" if about.frames else ""
    print_table(
        f"profile {profile.name}, version {about.version}, {len(profile.data):,} bytes: {readable(about.network)}, "
        f"cut graph {readable(about.cut[:16])}\n{counted(about.images, 'image')}{clips}, seed {about.seed}, "
        f"sensitivity to the power of {about.power:g}, made by {readable(about.made_by)}",
        ["level", "shape", "kept", "coefficients", "importance map"],
        rows,
    )
    print_qualities(profile)


def print_qualities(profile: Profile) -> None:
    """Print what qualities are expected to take and to lose, by the calibration's curve."""
    points = sorted(profile.about.curve, key=lambda point: point.step)
    shown = []
    for quality in _SHOWN:
        step = profile.step_of(quality)
        if points[0].step <= step <= points[-1].step:
            steps = [point.step for point in points]
            size = np.exp(np.interp(step, steps, [math.log(point.bytes) for point in points]))
            shown.append([f"{quality}", f"{step}", f"{size:,.0f}", f"{profile.loss_of(step):.1%}"])
        else:
            shown.append([f"{quality}", f"{step}", "not measured", ""])
    print_table("on the held-out quarter: bytes an image, estimated relative loss of accuracy, between measured steps",
                ["quality", "step", "bytes", "loss"], shown)  # fmt: skip


def _report(profile: Profile) -> dict[str, object]:
    about = profile.about.model_dump(mode="json")
    sizes = [len(group.scales) for group in profile.groups]
    groups = [group | {"coefficients": size} for group, size in zip(about["groups"], sizes, strict=True)]
    return {"profile": profile.name, "bytes": len(profile.data), **about, "groups": groups}
