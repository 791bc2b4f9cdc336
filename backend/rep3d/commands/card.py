"""``rep3d card``: the model card of a weights file."""

from __future__ import annotations

import json
from pathlib import Path

import typer
from rich.console import Console

from rep3d.files import OVERWRITE_HELP, check_free


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("card")(card)


def card(
    weights: Path = typer.Argument(help="Deployed weights (.safetensors); the card is written beside them."),
    run: Path = typer.Option(..., help="Run folder of the training, for the curves."),
    results: Path = typer.Option(..., help="JSON of `rep3d evaluate --weights ... --split test`."),
    machine: str = typer.Option(..., help="What the training ran on and how long it took, a sentence."),
    command: str = typer.Option(..., help="The training command, as a reader would type it."),
    attribution: str = typer.Option(..., help="Whom to credit for the data."),
    failure: list[str] = typer.Option(..., help="A known failure; give the option once for each."),
    baseline: list[str] = typer.Option([], help="NAME=JSON: the same evaluation of another network."),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Write a model card: data, licence, command, curves, Dice on test cases, known failures."""
    from rep3d.errors import BadInput
    from rep3d.evaluation.card import CardSources, write_card
    from rep3d.figures import curves, read_records
    from rep3d.weights import load_weights

    def read(path: str | Path) -> dict:
        try:
            return json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} is not a result of `rep3d evaluate`: {error}") from error

    named = [text.partition("=") for text in baseline]
    if any(not path for _, _, path in named):
        raise BadInput("--baseline takes NAME=JSON")
    loaded = load_weights(weights)
    picture = weights.with_suffix(".png")
    stem = weights.parent / loaded.meta.task.key
    check_free(
        [stem.with_suffix(".md"), stem.with_suffix(".json"), picture],
        overwrite=overwrite,
        record=stem.with_suffix(".json"),
        same=lambda record: record["weights_sha256"] == loaded.sha256,
    )
    sources = CardSources(
        weights=loaded,
        results=read(results),
        baselines={name: read(path) for name, _, path in named},
        command=command,
        machine=machine,
        failures=tuple(failure),
        attribution=attribution,
        picture=picture.name,
    )
    text, record = write_card(weights.parent, sources)
    curves(picture, read_records(run), title=loaded.meta.task.title, subtitle=loaded.meta.id)
    Console().print(f"{text}, {record.name} and {picture.name}", soft_wrap=True, highlight=False)
