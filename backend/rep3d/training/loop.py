"""The training loop; `train` reads top to bottom: set up, resume, then step, validate and save until all is done.

With several ranks every one of them runs it; only the first writes files and logs.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from rep3d.data.cache import Sample
from rep3d.errors import OutOfMemory
from rep3d.evaluation.metrics import class_means, mean_dice
from rep3d.inference.devices import memory_errors
from rep3d.tasks import Task
from rep3d.training.activations import checkpoint_activations
from rep3d.training.agree import agree
from rep3d.training.batches import Batches
from rep3d.training.build import build_network
from rep3d.training.checkpoint import BEST, LAST, kept_name, save_checkpoint
from rep3d.training.compiling import compiled
from rep3d.training.config import TrainConfig
from rep3d.training.deep_supervision import supervised
from rep3d.training.finetune import InitialWeights
from rep3d.training.freeze import freeze, hold_norms
from rep3d.training.logs import NoLog, RunLog
from rep3d.training.norms import calibrate
from rep3d.training.optim import MovingAverage, Schedule, make_loss
from rep3d.training.optimizer import make_optimizer
from rep3d.training.ranks import RankLost, Ranks
from rep3d.training.rates import set_rates
from rep3d.training.sound import make_sound
from rep3d.training.state import Averaged, Progress, RunState
from rep3d.training.step import diverged, set_buffers, step_gradients
from rep3d.training.stopping import Stopped, StopRequest
from rep3d.training.sync_norm import share_batch_norms
from rep3d.training.validate import validate

#: Steps whose crops set the batch norms of a network that starts from a deployed file.
CALIBRATION_STEPS = 8


def train(
    config: TrainConfig,
    task: Task,
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample],
    run: Path,
    *,
    ranks: Ranks | None = None,
    initial: InitialWeights | None = None,
    saved: dict | None = None,
    data_sha256: str = "",
    console=None,
) -> Progress:
    """Train until ``config.steps``, from ``saved`` (a last.ckpt of the same run) on if given; files go to ``run``.
    A new run starts from ``initial`` if given, else at random.

    Raises DeviceUnavailable, Diverged on a loss that is not finite, RankLost, SystemExit
    (143 after SIGTERM, 130 after SIGINT) once the checkpoint is written.
    """
    ranks = ranks or Ranks(config)
    fabric, device = ranks.fabric, ranks.device
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)

    network = build_network(config, task.num_classes)
    if initial:
        initial.apply(network)
    network.to(device)
    frozen = freeze(network, config.freeze)
    if initial and initial.fused and not saved:
        first = Batches(train_samples, config, task.spacing_mm)
        calibrate(network, (first[step].image_BCDHW.to(device) for step in range(CALIBRATION_STEPS)))
    loss_of, loss_alone = (supervised(make_loss(config.loss, world)) for world in (ranks.world, 1))
    optimizer = make_optimizer(network, config)
    crops = config.batch_size * config.crops_per_volume // (ranks.world * config.accumulate)  # at a time, on one device
    widened = make_sound(network, crops, config.patch, device, torch.bfloat16) if config.precision == "bf16" else []
    agree(network, loss_alone, config, ranks)
    if ranks.world > 1:
        network = share_batch_norms(network, device)
    hold_norms(network, frozen)
    if config.checkpointing:
        checkpoint_activations(network)
    model, optimizer = fabric.setup(compiled(network) if config.compile else network, optimizer)
    average = MovingAverage(network, config.ema) if config.ema else None
    state = RunState(config, task, data_sha256, network, optimizer, Schedule(config), average, Progress())
    if saved:
        state.restore(saved, device)
    progress, schedule = state.progress, state.schedule

    if ranks.first:
        keys = [label.key for label in task.labels]
        log: RunLog | NoLog = RunLog(run, keys, progress.step, config.steps, console=console)
    else:
        log = NoLog()
    if widened:
        log.say(f"bfloat16 is wrong here in {', '.join(widened)}: these run in float32")
    if progress.step:
        log.say(f"resumed at step {progress.step}")
    if progress.history:
        log.last_dice = progress.history[-1]["dice"]
    batches = Batches(train_samples, config, task.spacing_mm, rank=ranks.rank, world=ranks.world)
    val_samples = list(val_samples)[: config.val_limit or None]
    clock, first_step = time.monotonic() - progress.seconds, progress.step
    first_seconds = progress.seconds

    def save(name: str, resumable: bool) -> None:
        if ranks.first:
            save_checkpoint(run / name, state.content(resumable))

    def validate_and_save() -> None:
        """What is due after ``progress.step`` steps."""
        last = progress.step >= config.steps
        done = bool(progress.history) and progress.history[-1]["step"] == progress.step
        due = (progress.step % config.val_every == 0 or last) and not done
        if due:
            with Averaged(network, average):
                scores = validate(
                    network, val_samples, config.patch, task.num_classes, overlap=config.val_overlap, device=device,
                    autocast=fabric.autocast, ranks=ranks, progress=lambda *_: stop.check(ranks.gather(stop.received)),
                )  # fmt: skip
            dice, classes = mean_dice(scores), class_means(scores)
            progress.history.append({"step": progress.step, "dice": dice, "per_class": classes})
            schedule.validated(dice)
            best = dice > progress.best_dice
            if best:
                progress.best_dice, progress.best_step = dice, progress.step
                cases = zip(val_samples, scores, strict=True)
                progress.best_cases = {s.id: [None if math.isnan(d) else float(d) for d in row] for s, row in cases}
            progress.seconds = time.monotonic() - clock
            log.validation(progress.step, dice, classes, progress.seconds, best)
            if best or not (run / BEST).exists():
                save(BEST, resumable=False)
        if config.keep_every and progress.step % config.keep_every == 0:
            save(kept_name(progress.step), resumable=False)
        if due or progress.step % config.save_every == 0:
            progress.seconds = time.monotonic() - clock
            save(LAST, resumable=True)

    network.train()
    try:
        with StopRequest(patient=ranks.world > 1) as stop, memory_errors(device), ranks.lost():
            if progress.step:
                validate_and_save()  # a run stopped during a validation makes up for it
            for step, batch in batches.stream(progress.step, config.steps):
                if progress.stops_early(config):
                    best = f"{progress.best_dice:.4f} at step {progress.best_step}"
                    log.say(
                        f"stopped early after step {progress.step}: no new best in "
                        f"{progress.validations_since_best} validations (Dice {best})"
                    )
                    break
                set_rates(optimizer, schedule.rate(step))
                ranks.seed_step(config.seed, step)
                buffers = [b.clone() for b in network.buffers()]
                loss, norm = step_gradients(fabric, model, optimizer, loss_of, batch, config)
                losses, signals = zip(*ranks.gather((loss, stop.received)), strict=True)
                value = sum(losses) / len(losses)
                if not math.isfinite(value) or not math.isfinite(norm):
                    set_buffers(network, buffers)
                    save(LAST, resumable=True)
                    raise diverged(step, value, network, loss_alone, batch, ranks, str(run / LAST))
                optimizer.step()
                if average:
                    average.update(network, step)
                progress.step = step + 1
                progress.block = [progress.block[0] + value, progress.block[1] + 1]
                if progress.step % config.log_every == 0 or progress.step == config.steps:
                    progress.seconds = time.monotonic() - clock
                    pace = (progress.seconds - first_seconds) / (progress.step - first_step)
                    mean = progress.block[0] / progress.block[1]
                    to_go = pace * (config.steps - progress.step)
                    log.train(progress.step, mean, schedule.rate(step), progress.seconds, to_go)
                    progress.block = [0.0, 0]
                validate_and_save()
                stop.check(list(signals) if ranks.world > 1 else None)
    except OutOfMemory as error:
        raise OutOfMemory(
            f"there is not enough memory on {device} for {crops} crops of {config.patch} with {config.network}",
            "use --checkpointing, --accumulate, --precision bf16, or a smaller --batch-size, --crops-per-volume, "
            "--patch or --network",
        ) from error
    except Stopped as stopped:
        progress.seconds = time.monotonic() - clock
        save(LAST, resumable=True)
        with contextlib.suppress(RankLost):
            ranks.gather(None)  # the first has written: a rank that ends can have the others ended
        log.say(f"stopped by {stopped.name} after step {progress.step}; the same command continues from there")
        raise SystemExit(stopped.exit_code) from None
    finally:
        log.close()
    return progress
