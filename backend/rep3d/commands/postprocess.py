"""``rep3d postprocess``: learn on validation cases which structures gain from removing components."""

from __future__ import annotations

from pathlib import Path

import typer

from rep3d.files import OVERWRITE_HELP, check_free

group = typer.Typer(no_args_is_help=True, help="Post-processing that is learned on validation cases.")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(group, name="postprocess")


@group.command("learn")
def learn(
    data: Path = typer.Option(..., "--data", help="The data folder of the training."),
    output: Path = typer.Option(..., "-o", "--output", help="Write the rules as JSON."),
    weights: Path = typer.Option(None, "--weights", help="Deployed weights file (.safetensors)."),
    checkpoint: Path = typer.Option(None, "--checkpoint", help="Training checkpoint, such as RUN/best.ckpt."),
    split: str = typer.Option("val", help="val (or train); never test."),
    margin: float = typer.Option(0.0, help="The gain in mean Dice, and its interval's lower end, must be above this."),
    level: float = typer.Option(0.95, help="Confidence of the bootstrap interval of the gain."),
    sizes: str = typer.Option("", help="Volumes in ml to try as smallest component, e.g. 0.1,1; none: only largest."),
    fold: int = typer.Option(0, help="Fold of a task with a k-fold split."),
    overlap: float = typer.Option(0.5, help="Overlap of neighbouring windows, 0 to 0.9."),
    device: str = typer.Option("auto", help="auto, cpu, cuda, cuda:N or mps."),
    precision: str = typer.Option("auto", help="auto, float32 or bfloat16."),
    threads: int = typer.Option(0, help="CPU threads; 0: as many as torch chooses."),
    overwrite: bool = typer.Option(False, "--overwrite", help=OVERWRITE_HELP),
) -> None:
    """Choose for each structure: as it is, largest component only, or no components below a volume.

    A rule is taken only where it raises the mean Dice on the validation cases. Use the file with
    `rep3d evaluate --postprocess` and `rep3d segment --postprocess`.
    """
    import torch
    from rich.console import Console
    from rich.table import Table

    from rep3d.errors import BadInput
    from rep3d.evaluation import learn as learning
    from rep3d.evaluation.subject import from_checkpoint, from_weights
    from rep3d.inference.options import InferenceOptions

    if (weights is None) == (checkpoint is None):
        raise BadInput("one of --weights and --checkpoint is needed", "e.g. --checkpoint RUN/best.ckpt")
    if threads:
        torch.set_num_threads(threads)
    subject = from_weights(weights) if weights else from_checkpoint(checkpoint)
    check_free(
        [output],
        overwrite=overwrite,
        record=output,
        same=lambda r: r["provenance"]["hashes"]["subject"] == subject.identity.get("sha256") and "learned_on" in r,
    )
    console = Console(highlight=False)
    config = learning.LearnConfig(margin=margin, level=level, min_ml=parse_sizes(sizes, learning.CANDIDATES_ML))
    record = learning.learn_postprocess(
        subject,
        data,
        split,
        config=config,
        inference=InferenceOptions(overlap, device=device, precision=precision, engine="torch"),
        fold=fold,
        output=output,
        progress=lambda done, total, case: console.print(f"{done}/{total} {case}", markup=False, soft_wrap=True),
        notice=lambda text: console.print(text, markup=False, soft_wrap=True),
    )
    table = Table(title=f"{record['task']}: rules from {len(record['learned_on']['cases'])} {split} cases")
    for column in ("structure", "Dice", "rule", "gain in Dice"):
        table.add_column(column)
    for key, rule in record["classes"].items():
        taken = learning.Rule(rule["largest_component"], rule["min_ml"])
        gain = next((tried["gain"] for tried in rule["tried"] if tried["rule"] == str(taken)), None)
        words = f"{gain['mean']:+.4f} \\[{gain['low']:+.4f}, {gain['high']:+.4f}]" if gain else "-"
        table.add_row(key, f"{rule['dice_before']:.4f}", str(taken), words)
    console.print(table)
    console.print(str(output), markup=False, soft_wrap=True)


def parse_sizes(text: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """ "0.1,1" -> (0.1, 1.0); "" -> the default; "none" -> (). Raises BadInput."""
    from rep3d.errors import BadInput

    if not text:
        return default
    if text.strip().lower() == "none":
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadInput(f"--sizes {text!r} is no list of volumes in ml", "e.g. --sizes 0.1,1,10") from None
