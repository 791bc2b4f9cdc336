"""What each command needs beyond the core, checked before it does anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import typer
from typer.core import TyperCommand

from rep3d.runtime.packages import need

Options = Mapping[str, Any]
TRANSFORMERS = ("unetr", "swinunetr")


def _segment(options: Options) -> list[str]:
    dicom = options["format"] == "dcm" or str(options["out"]).lower().endswith(".dcm")
    chosen = {"dicom-seg": dicom, "ray": bool(options["ray"]), "openvino": options["engine"] == "openvino"}
    return [purpose for purpose, wanted in chosen.items() if wanted]


def _experiment(options: Options) -> list[str]:
    return [] if options["name"] == "list" else ["training", "surfaces", "pictures"]


#: Command -> purposes (rep3d.runtime.packages) that its options ask for. What is not listed needs the core alone.
COMMANDS: dict[str, Callable[[Options], list[str]]] = {
    "segment": _segment,
    "prepare": lambda _: ["preparation"],
    "train": lambda options: ["training", *(["transformers"] if options["network"] in TRANSFORMERS else [])],
    "evaluate": lambda _: ["surfaces"],
    "verify": lambda _: ["surfaces"],
    "experiment": _experiment,
    "export": lambda options: [options["format"]] if options["format"] in ("onnx", "bundle") else [],
    "masks": lambda options: ["pictures"] if options["figures"] or len(options["files"]) > 1 else [],
    **dict.fromkeys(("demo", "erf", "report", "card", "compare"), lambda _: ["pictures"]),
}


class CheckedCommand(TyperCommand):
    """A command that looks for its packages first: nothing is computed or written before one is missed."""

    def invoke(self, ctx: Any) -> Any:
        purposes = COMMANDS.get(name_of(ctx))
        if purposes:
            need(*purposes(ctx.params))
        return super().invoke(ctx)


def check_first(app: typer.Typer) -> None:
    """Make every command of the application, and of its groups, one that looks for its packages first."""
    for command in app.registered_commands:
        command.cls = CheckedCommand
    for group in app.registered_groups:
        check_first(group.typer_instance)


def name_of(ctx: Any) -> str:
    """The command as typed after the program's name: "train", "task new"."""
    names = []
    while ctx.parent is not None:
        names.insert(0, ctx.info_name)
        ctx = ctx.parent
    return " ".join(names)
