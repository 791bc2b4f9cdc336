"""``rep3d train``: train a network on a folder of scans; run again, it resumes. ``rep3d evaluate`` comes with it."""

from __future__ import annotations

from pathlib import Path

import typer

from rep3d.commands import evaluate


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("train")(train)
    evaluate.register(app)


def train(
    task: str = typer.Option(..., "--task", help="Task key (see `rep3d tasks`) or a task file."),
    data: Path = typer.Option(..., "--data", help="Prepared folder, or images/ and labels/, or train/, val/, test/."),
    out: Path = typer.Option(..., "--out", help="Run folder; an unfinished run in it is resumed."),
    network: str = typer.Option("", help="Network name (default: the task's)."),
    reparam: str = typer.Option(None, help="Mask of the large kernels: lrbm, fixed or plain (default: the network's)."),
    network_args: str = typer.Option(
        "{}", help='More arguments of the network as JSON, e.g. \'{"kernel_size": 7, "lrbm": {"depth": 3}}\'.'
    ),
    patch: str = typer.Option("", help="Crop size in voxels, e.g. 48,64,48 (default: the task's)."),
    steps: int = typer.Option(60_000, help="Optimiser steps."),
    batch_size: int = typer.Option(2, help="Volumes a step, over all devices."),
    crops_per_volume: int = typer.Option(2, help="Crops from each volume of a step."),
    accumulate: int = typer.Option(1, help="Parts in which a step's crops are computed, to need less memory."),
    foreground: float = typer.Option(0.9, help="Share of crops centred on a random class."),
    sampling: str = typer.Option(
        "present", help="That class: present (any in the case alike), balanced (rare ones more often) or uniform."
    ),
    optimizer: str = typer.Option("adamw", help="adamw or sgd."),
    lr: float = typer.Option(1e-4, help="Learning rate."),
    weight_decay: float = typer.Option(0.08, help="Weight decay (not on norms, biases and mask generators)."),
    lr_small: float = typer.Option(0.0, help="Learning rate of the small branch of CSLA blocks; 0: --lr."),
    lr_field: str = typer.Option("none", help="Element-wise rates on large kernels: none, prior or csla."),
    lr_field_args: str = typer.Option("{}", help="Settings of --lr-field as JSON."),
    freeze: list[str] = typer.Option([], help="Parameters that are not trained, e.g. 'encoder.*'; may be repeated."),
    schedule: str = typer.Option("plateau", help="plateau, cosine, poly or constant."),
    poly_power: float = typer.Option(0.9, help="Exponent of --schedule poly."),
    early_stop: int = typer.Option(0, help="End after so many validations without a new best; 0: never."),
    warmup: int = typer.Option(0, help="Steps of linear warm-up."),
    loss: str = typer.Option("dice-ce", help="dice-ce (per crop) or batch-dice-ce (Dice over the batch)."),
    deep_supervision: int = typer.Option(0, help="Decoder levels below the full one that get a loss too."),
    clip_grad: float = typer.Option(12.0, help="Largest gradient norm; 0: no clipping."),
    ema: float = typer.Option(0.0, help="Decay of a moving average of the weights, e.g. 0.999; 0: none."),
    augment: bool = typer.Option(True, help="Random rotation, scaling and intensities."),
    mirror_axes: str = typer.Option("", help="Axes to mirror at random, e.g. 1,2; none for sided labels."),
    precision: str = typer.Option("32", help="32, or bf16 autocast."),
    checkpointing: bool = typer.Option(False, help="Compute activations again in the backward pass: less memory."),
    compile: bool = typer.Option(False, "--compile", help="Compile the network with torch.compile."),
    device: str = typer.Option("auto", "--device", "--accelerator", help="auto, cpu, cuda, cuda:N or mps."),
    devices: int = typer.Option(1, help="GPUs, or processes on CPUs, of each machine."),
    nodes: int = typer.Option(1, help="Machines."),
    threads: int = typer.Option(0, help="CPU threads; 0: as many as torch chooses."),
    workers: int = typer.Option(1, help="Threads that prepare batches; 0: none. The batches are the same."),
    seed: int = typer.Option(0, help="Seed of weights, crops and augmentation."),
    fold: int = typer.Option(0, help="Fold of a task with a k-fold split."),
    folds: str = typer.Option("", help="Several folds one after the other, in OUT/fold-N: all, or e.g. 0,2."),
    val_every: int = typer.Option(500, help="Steps between validations."),
    val_limit: int = typer.Option(0, help="Validate on the first N validation cases only; 0: all."),
    val_overlap: float = typer.Option(0.25, help="Overlap of the validation's windows."),
    save_every: int = typer.Option(250, help="Steps between checkpoints."),
    keep_every: int = typer.Option(
        0, help="Steps between checkpoints that stay as step-N.ckpt, for `rep3d masks`; 0: none."
    ),
    log_every: int = typer.Option(20, help="Steps between log lines."),
    init: Path = typer.Option(None, help="Checkpoint or weights file that this run starts from."),
    init_labels: str = typer.Option(
        "strict", help="Labels of --init: strict (the same), match (met by key) or new-head (a new output layer)."
    ),
    cache: Path = typer.Option(None, help="Folder for preprocessed cases (default: RUN/cache)."),
    resume: bool = typer.Option(True, "--resume/--restart", help="Continue the run in --out, or delete it first."),
) -> None:
    """Train a network. Killed at any moment, the same command continues the run and ends with the same weights."""
    given = dict(locals())
    from dataclasses import fields

    from rep3d.data.augment import AugmentConfig
    from rep3d.errors import BadInput
    from rep3d.networks import accepted_arguments
    from rep3d.tasks import load_task
    from rep3d.training.config import TrainConfig
    from rep3d.training.folds import parse_folds, train_folds
    from rep3d.training.ranks import is_first_process
    from rep3d.training.run import run_training

    chosen = load_task(task)
    name = network or chosen.network
    arguments = {"in_channels": 1}
    known = accepted_arguments(name)
    if "reparam" in known:
        arguments["reparam"] = reparam or known["reparam"]
    elif reparam:
        raise BadInput(f"--reparam {reparam} does not apply to {name}", "it has no large kernels; leave the option out")
    size = integers(patch, "--patch") if patch else tuple(chosen.patch)
    if "patch" in known:  # networks with learned positions are built for one size
        arguments["patch"] = list(size)
    arguments.update(_network_arguments(network_args))
    strengths = AugmentConfig() if augment else AugmentConfig.off()
    if mirror_axes:
        strengths = AugmentConfig(**{**strengths.__dict__, "mirror_axes": integers(mirror_axes, "--mirror-axes")})
    # Options that are named like a setting are that setting; those below need more than their value.
    given |= {
        "task": chosen.key,
        "network": name,
        "network_args": arguments,
        "patch": size,
        "augment": strengths,
        "lr_field_args": json_object(lr_field_args, "--lr-field-args", "{}"),
        "freeze": tuple(freeze),
        "init": "",
    }
    config = TrainConfig(**{f.name: given[f.name] for f in fields(TrainConfig) if f.name in given})
    if folds:
        if fold:
            raise BadInput("--fold and --folds exclude each other", "leave one of them out")
        chosen_folds = parse_folds(folds, data, chosen)
        train_folds(config, chosen, data, out, chosen_folds, init=init, cache=cache, restart=not resume)
        return
    progress = run_training(config, chosen, data, out, init=init, cache=cache, restart=not resume)
    if is_first_process():
        typer.echo(f"best validation Dice {progress.best_dice:.4f} at step {progress.best_step}: {out / 'best.ckpt'}")


def _network_arguments(text: str) -> dict:
    """--network-args; what the task or another option decides is refused. Raises BadInput."""
    from rep3d.errors import BadInput

    values = json_object(text, "--network-args", '{"kernel_size": 7}')
    if taken := sorted({"in_channels", "out_channels", "deployed", "reparam", "patch"} & set(values)):
        raise BadInput(
            f"--network-args cannot set {', '.join(taken)}: the task or another option does",
            "docs/method.md lists the arguments.",
        )
    return values


def json_object(text: str, option: str, example: str) -> dict:
    """An option that takes a JSON object. Raises BadInput that names it and shows ``example``."""
    import json

    from rep3d.errors import BadInput

    hint = f"Give a JSON object such as '{example}'."
    try:
        values = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{option} {text} is not JSON: {error}", hint) from error
    if not isinstance(values, dict):
        raise BadInput(f"{option} {text} is not a JSON object", hint)
    return values


def integers(text: str, option: str) -> tuple[int, ...]:
    """ "48,64,48" -> (48, 64, 48). Raises BadInput that names the option."""
    from rep3d.errors import BadInput

    try:
        return tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        raise BadInput(f"{option} {text!r} is not a list of whole numbers", "write it as 48,64,48") from None
