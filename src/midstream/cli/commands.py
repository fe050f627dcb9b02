"""The commands by name: each is in a module of its own, which is loaded when the command is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from copy import copy
from types import MappingProxyType
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from midstream.cli.console import note
from midstream.lazy import needing


class Entry(NamedTuple):
    """Where a command is, and what is known of it before it is loaded.

    Attributes:
        home: MODULE:NAME within `midstream.cli`, of a function or of a `typer.Typer` with commands of its own.
        line: the first paragraph of its help.
        extra: what brings the packages that it needs, None where the core will do.
        earlier: options that had another name before, by that name: understood for one more release.
    """

    home: str
    line: str
    extra: str | None = "networks"
    earlier: Mapping[str, str] = MappingProxyType({})


COMMANDS = {
    "demo": Entry(
        "demo:demo_command",
        "Run the founding paper's experiment on a network and scenes of the project's own, without any download.",
        extra="demo",
        earlier={"--picture": "--image"},
    ),
    "encode": Entry("coding:encode_command", "Code a feature pyramid into a bitstream.", extra=None),
    "decode": Entry("coding:decode_command", "Reconstruct a feature pyramid from a bitstream.", extra=None),
    # It draws with --map, and only that takes an extra.
    "inspect": Entry(
        "coding:inspect_command",
        "Show what a bitstream, the file of a clip, or a profile holds, and where its bytes go.",
    ),
    "init": Entry(
        "init:init_command",
        "Look at an ONNX file and write a description of it: its input, its task and head, where to cut it.",
    ),
    "split": Entry(
        "networks:split_command",
        "Cut an ONNX graph at named tensors into front.onnx and back.onnx and check them, or list where it can be cut.",
    ),
    "extract": Entry(
        "networks:extract_command", "Write the feature pyramids of images, one file each, named after the image."
    ),
    "models": Entry(
        "networks:models_command", "List the networks that --model knows by name, and whether their weights are here."
    ),
    "calibrate": Entry(
        "calibrate:calibrate_command",
        "Fit the codec 'calibrated' to a network, from a few unlabelled images and without training.",
        earlier={"--pictures": "--max-images", "--picture": "--figure"},
    ),
    "train": Entry(
        "train:train_command",
        "Calibrate, then train the transform through the network's back by gradient: fewer bytes at the same accuracy.",
        extra="train",
    ),
    "eval": Entry(
        "evaluation:eval_command",
        "Measure rate and accuracy: run the front, encode, decode the bytes, run the back, score its outputs.",
    ),
    "compare": Entry(
        "compare:compare_command",
        "Measure pipelines on the same images: rate, accuracy, time and BD-rate with intervals, in one report.",
        extra="compare",
    ),
    "codecs": Entry(
        "codecs:codecs_command",
        "List the codecs that a SPEC of 'compare' may name, for images and for features, with their options.",
        extra=None,
    ),
    "scenes": Entry(
        "scenes:scenes_command",
        "Write generated street scenes with their instances, in Cityscapes' folder layout, or clips of them.",
    ),
    "bench": Entry(
        "bench:bench_command",
        "Measure speed and rate on this machine, next to one plain read pass over the same elements.",
        extra=None,
    ),
    "serve": Entry(
        "serving:serve_command",
        "Start a gRPC server that decodes bitstreams and runs the network's back on them.",
        extra="serve",
    ),
    "push": Entry(
        "pushing:push_command",
        "Run a network's front on images, send the bitstreams to a server, and write its detections.",
        extra="client",
    ),
    "video": Entry(
        "clips:app", "Code video into files of clips, and write what the network finds in them.", extra="client"
    ),
    "watch": Entry(
        "watching:watch_command",
        "Show on a page of this machine how a source goes through the stream codec: detections, bytes, times.",
        extra="watch",
    ),
    "batch": Entry(
        "batch:app",
        "Code or evaluate a large collection on Ray, into a table in Parquet; a stopped job can be resumed.",
        extra="ray",
        earlier={"--picture-size": "--image-size"},
    ),
    "paper": Entry("paper:app", "Compute the founding paper's tables and figure."),
}


class Commands(TyperGroup):
    """A group that lists its commands without loading one of them, and loads no other than the one that is run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Loaded()  # type: ignore[assignment] # nothing is added to it

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, as the table has them."""
        del ctx
        return list(COMMANDS)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command and its arguments, options by their present names."""
        earlier = COMMANDS[args[0]].earlier if args and args[0] in COMMANDS else {}
        end = args.index("--") if "--" in args else len(args)
        return super().resolve_command(ctx, [*(_present(each, earlier) for each in args[:end]), *args[end:]])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help as Typer has it, the commands by their lines in the table."""
        listed = copy(self)
        listed.commands = {name: TyperCommand(name, help=entry.line) for name, entry in COMMANDS.items()}
        super(Commands, listed).format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; what it loads on the way may be missing, too. Raises MissingExtraError and typer.Abort."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:  # of which Typer makes an end without a word
            raise typer.Abort(*error.args) from None
        except ImportError:
            if ctx.invoked_subcommand is None:
                raise
            with _extra_of(ctx.invoked_subcommand):
                raise


def _present(argument: str, earlier: Mapping[str, str]) -> str:
    option, equals, value = argument.partition("=")
    if option not in earlier:
        return argument
    note(f"{option} is now {earlier[option]}; the next release no longer knows the earlier name")
    return f"{earlier[option]}{equals}{value}"


def _extra_of(name: str) -> AbstractContextManager[None]:
    return needing(f"midstream {name}", COMMANDS[name].extra)


def _let_flow(command: Any) -> None:
    """Have help, a command's and its own commands', break at the terminal's width, not where docstrings do."""
    if command.help:
        paragraphs = command.help.split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for each in getattr(command, "commands", {}).values():
        _let_flow(each)


class _Loaded(Mapping[str, Any]):
    """By name, each command of the table, loaded now. Raises MissingExtraError."""

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = COMMANDS[name].home.partition(":")
        with _extra_of(name):
            found = getattr(importlib.import_module(f"midstream.cli.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            alone.command(name)(found)
            found = alone
        command = get_command(found)
        command.name = name
        _let_flow(command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS
