"""From a folder of scans to a trained network: find and split the cases, cache them, check the run folder, train."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import psutil
import torch
from rich.console import Console

from rep3d.data.cache import Cache, load_samples
from rep3d.data.dataset import Case, Dataset, data_list, find_dataset
from rep3d.errors import BadInput, OutputFailed
from rep3d.files import check_free, sha256_file, sweep, write_text
from rep3d.inference.devices import resolve_device
from rep3d.runtime.packages import need
from rep3d.tasks import Task
from rep3d.training.build import build_network
from rep3d.training.checkpoint import BEST, KEPT, LAST, load_checkpoint
from rep3d.training.config import TrainConfig, differences
from rep3d.training.finetune import initial_weights, lines
from rep3d.training.freeze import freeze
from rep3d.training.launch import launch
from rep3d.training.loop import Progress, train
from rep3d.training.optimizer import make_optimizer
from rep3d.training.ranks import Ranks, as_started, is_rank

#: What a run writes into its folder, and all that --restart deletes.
RUN_FILES = (LAST, BEST, "log.jsonl", "metrics.csv", "data.json", "config.json", "initial.json", "tb")


def run_training(
    config: TrainConfig,
    task: Task,
    data: Path,
    run: Path,
    *,
    init: Path | None = None,
    cache: Path | None = None,
    restart: bool = False,
    console: Console | None = None,
) -> Progress:
    """Prepare ``data`` for ``task`` and train in ``run``. Test cases are listed, never loaded.

    With several devices or nodes this process becomes one of the ranks if it was started as one, else it starts them.
    The first rank prepares everything; the others then find it done.

    Raises BadInput (data, configuration, foreign checkpoint), DeviceUnavailable, OutputFailed (folders that cannot
    be written) and what `train` raises.
    """
    need("training")
    config = as_started(config)
    if config.devices * config.nodes > 1 and not is_rank():
        return launch(config, task, data, run, init=init, cache=cache, restart=restart, console=console)
    resolve_device(config.device)
    check_network(config, task)
    ranks = Ranks(config)
    console = Console(quiet=True) if not ranks.first else console or Console()
    with ranks.in_turn():
        if init is not None:
            initial = initial_weights(init, config, task)
            config = replace(config, init=sha256_file(init))
        elif config.init_labels != "strict":
            raise BadInput(f"--init-labels {config.init_labels} has no effect without --init", "Leave it out.")
        else:
            initial = None
        dataset = find_dataset(data, task, config.fold)
        try:
            run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFailed(
                f"cannot write the run folder {run}: {error.strerror}", "choose another --out"
            ) from error
        if dataset.unpaired:
            shown = ", ".join(dataset.unpaired[:5]) + (" ..." if len(dataset.unpaired) > 5 else "")
            console.print(f"{len(dataset.unpaired)} files without a partner are left out: {shown}", markup=False)
        store = Cache(cache or dataset.cache or run / "cache", task)
        hashes = {path: store.hashes.of(path) for case in dataset.cases for path in (case.image, case.label)}
        if ranks.first:
            sweep(run)
            store.hashes.save()
        check_no_leak(dataset, hashes)
        listed, digest = data_list(dataset, task.key, hashes)
        if restart or not (run / LAST).exists():
            check_free(
                [run / name for name in RUN_FILES if name != "tb"],
                overwrite=None,
                record=run / "config.json",
                same=lambda record: {"task", "network", "steps", "patch"} <= record.keys(),
            )
        if restart and ranks.first:  # only now that everything else is known to be right
            delete_run(run)
        saved = load_checkpoint(run / LAST) if (run / LAST).exists() else None
        if saved:
            check_same_run(saved, config, task, digest, run)
        if ranks.first:
            listed |= {"folder": str(data.resolve())}  # where `rep3d fuse` measures the training scans
            write_text(run / "data.json", json.dumps(listed, indent=1, ensure_ascii=False))
            write_text(run / "config.json", json.dumps(config.to_dict(), indent=1))
            if initial:
                write_text(run / "initial.json", json.dumps(initial.report, indent=1, ensure_ascii=False))
        if initial and not saved:
            for line in lines(initial.report):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        counts = ", ".join(f"{len(dataset.of(s))} {s}" for s in ("train", "val", "test"))
        console.print(f"{task.key}: {counts}; data list {digest[:12]}", markup=False, highlight=False)
        samples = {
            split: load_samples(
                dataset.of(split), store, memory_limit=psutil.virtual_memory().available // (2 * config.devices)
            )
            for split in ("train", "val")
        }
    return train(
        config,
        task,
        samples["train"],
        samples["val"],
        run,
        ranks=ranks,
        initial=initial,
        saved=saved,
        data_sha256=digest,
        console=console,
    )


def delete_run(run: Path) -> None:
    """Remove what a run wrote into its folder, and nothing else. Raises OutputFailed."""
    try:
        for target in (*(run / name for name in RUN_FILES), *run.glob(KEPT)):
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot delete {target}: {error.strerror}", "choose another --out") from error


def check_network(config: TrainConfig, task: Task) -> None:
    """Raise BadInput unless the network can be built and takes crops of the patch. Shapes only: takes no time."""
    with torch.device("meta"), torch.no_grad():
        network = build_network(config, task.num_classes)
        freeze(network, config.freeze)
        make_optimizer(network, config)  # settings of rates that this network cannot follow are refused here
        if any(p % network.stride for p in config.patch):
            raise BadInput(
                f"the patch {config.patch} does not fit {config.network}", f"use multiples of {network.stride}"
            )
        network.eval()(torch.empty(1, network.in_channels, *config.patch))


def check_no_leak(dataset: Dataset, hashes: dict[Path, str]) -> None:
    """Raise BadInput when one image file lies, under two names, in two splits: its score would mean nothing."""
    first: dict[str, Case] = {}
    for case in dataset.cases:
        twin = first.setdefault(hashes[case.image], case)
        if twin.split != case.split:
            raise BadInput(
                f"{twin.image} ({twin.split}) and {case.image} ({case.split}) are the same image",
                "one scan may be in one split only: remove one of the two cases",
            )


def check_same_run(saved: dict, config: TrainConfig, task: Task, data_sha256: str, run: Path) -> None:
    """Raise BadInput, naming what differs, unless the checkpoint's run is the one that is asked for."""
    lines = differences(saved["config"], config.to_dict())
    old, new = saved["task"], task.to_dict()
    if [(x["value"], x["key"]) for x in old["labels"]] != [(x["value"], x["key"]) for x in new["labels"]]:
        lines.append("the task's labels have changed")
    lines += [f"the task's {name} has changed" for name in ("spacing_mm", "intensity") if old[name] != new[name]]
    if saved["data_sha256"] != data_sha256:
        lines.append("the data files or their split have changed")
    if saved["optimizer"] is None:
        lines.append(f"{LAST} holds no optimiser state")
    if lines:
        raise BadInput(
            f"{run} holds a run with another configuration: {'; '.join(lines)}",
            "use the same options to resume it, another --out for a new run, or --restart to begin anew here",
        )
