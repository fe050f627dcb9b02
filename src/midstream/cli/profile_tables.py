"""What a profile holds, for people and programs: inspect, and what calibrate prints at its end."""

from __future__ import annotations

import math

import numpy as np

from midstream.cli.console import print_json, print_table
from midstream.codec import container
from midstream.codec.calibrated.profile import Profile
from midstream.wording import counted, readable

#: Qualities that are listed.
_SHOWN = (100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 1)
#: Bytes of the length that a .safetensors file begins with; its header, which is JSON, follows.
_LENGTH = 8


def is_profile(data: bytes) -> bool:
    """Whether a file's content begins as that of a .safetensors file does, which a profile is, and as no bitstream."""
    return data[_LENGTH : _LENGTH + 1] == b"{" and not data.startswith(container.MAGIC)


def inspect_profile(profile: Profile, json: bool) -> None:
    """Print what was calibrated, and what each quality is expected to take and to lose."""
    if json:
        print_json(_report(profile))
        return
    about = profile.about
    rows = []
    for number, group in enumerate(profile.groups):
        shared = "of the first group" if number >= profile.layers else "its own"
        shared = "none" if profile.groups[0].probe is None else shared
        for at, level in enumerate(group.levels):
            height, width = level.about.size
            shape = f"{level.about.channels}x{height}x{width}"
            first = readable(group.levels[0].about.name)
            own = [f"{len(group.scales)}", shared] if at == 0 else [f"with {first}", f"with {first}"]
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
    about = profile.about.model_dump(mode="json", by_alias=True, exclude_none=True)
    sizes = [len(group.scales) for group in profile.groups]
    groups = [group | {"coefficients": size} for group, size in zip(about["groups"], sizes, strict=True)]
    return {"profile": profile.name, "bytes": len(profile.data), **about, "groups": groups}
