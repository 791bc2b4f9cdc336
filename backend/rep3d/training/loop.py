"""The training loop; `train` reads top to bottom: set up, resume, then step, validate and save until all is done."""

from __future__ import annotations

import logging
import math
import random
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

import rep3d
from rep3d.data.cache import Sample
from rep3d.errors import OutOfMemory, Rep3DError
from rep3d.evaluation.metrics import class_means, mean_dice
from rep3d.inference.devices import memory_errors, resolve_device
from rep3d.ops import adopt_algorithm_choices, algorithm_choices
from rep3d.tasks import Task
from rep3d.training.batches import Batch, Batches
from rep3d.training.build import build_network
from rep3d.training.checkpoint import BEST, LAST, kept_name, random_states, save_checkpoint, set_random_states
from rep3d.training.config import TrainConfig
from rep3d.training.deep_supervision import supervised
from rep3d.training.logs import RunLog
from rep3d.training.optim import MovingAverage, Schedule, make_loss
from rep3d.training.optimizer import make_optimizer
from rep3d.training.rates import set_rates
from rep3d.training.sound import make_sound
from rep3d.training.validate import validate


class Diverged(Rep3DError):
    """The loss or a gradient is no longer finite; the checkpoint from before that step is kept."""

    code = "internal"


@dataclass
class Progress:
    """Where a run stands; all of it is in every checkpoint. ``block``: sum of losses, steps since the last log."""

    step: int = 0
    seconds: float = 0.0
    best_dice: float = -math.inf
    best_step: int = -1
    history: list[dict] = field(default_factory=list)
    block: list[float] = field(default_factory=lambda: [0.0, 0])


def train(
    config: TrainConfig,
    task: Task,
    train_samples: Sequence[Sample],
    val_samples: Sequence[Sample],
    run: Path,
    *,
    initial: dict[str, torch.Tensor] | None = None,
    saved: dict | None = None,
    data_sha256: str = "",
    console=None,
) -> Progress:
    """Train until ``config.steps``, from ``saved`` (a last.ckpt of the same run) on if given; files go to ``run``.
    A new run starts from the state dict ``initial`` if given, else at random.

    Raises DeviceUnavailable, Diverged on a loss that is not finite, SystemExit
    (143 after SIGTERM, 130 after SIGINT) once the checkpoint is written.
    """
    from lightning_fabric import Fabric

    device = resolve_device(config.device)
    precision = {"32": "32-true", "bf16": "bf16-mixed"}[config.precision]
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # config.json says which precision is used
    if config.threads:
        torch.set_num_threads(config.threads)
    devices = [device.index or 0] if device.type == "cuda" else 1
    fabric = Fabric(accelerator=device.type, devices=devices, precision=precision)
    random.seed(config.seed)
    np.random.seed(config.seed % 2**32)
    torch.manual_seed(config.seed)

    network = build_network(config, task.num_classes)
    if initial:
        network.load_state_dict(initial)
    model, optimizer = fabric.setup(network, make_optimizer(network, config))
    crops = config.batch_size * config.crops_per_volume
    widened = (
        make_sound(network, crops, config.patch, fabric.device, torch.bfloat16) if config.precision == "bf16" else []
    )
    schedule, loss_of = Schedule(config), supervised(make_loss(config.loss))
    average = MovingAverage(network, config.ema) if config.ema else None
    progress = Progress()

    def content(resumable: bool = True) -> dict:
        """A checkpoint; without the optimiser's state (two thirds of its size) where it only serves for inference."""
        return {
            "model": network.state_dict(),
            "ema": average.state if average else None,
            "optimizer": optimizer.state_dict() if resumable else None,
            "scheduler": schedule.state_dict(),
            "rng": random_states(),
            "operator": algorithm_choices(),
            **{name: getattr(progress, name) for name in ("step", "seconds", "history", "block")},
            "best": {"dice": progress.best_dice, "step": progress.best_step},
            "config": config.to_dict(),
            "network": network.spec,
            "task": task.to_dict(),
            "data_sha256": data_sha256,
            "rep3d_version": rep3d.__version__,
        }

    if saved:
        network.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["scheduler"])
        if average:
            average.state = {k: v.to(fabric.device) for k, v in saved["ema"].items()}
        set_random_states(saved["rng"])
        # Algorithms differ in rounding. Checkpoints of earlier versions left this to the operator's own file.
        adopt_algorithm_choices(saved.get("operator", {}))
        progress = Progress(**{n: saved[n] for n in ("step", "seconds", "history", "block")})
        progress.best_dice, progress.best_step = saved["best"]["dice"], saved["best"]["step"]

    log = RunLog(run, [label.key for label in task.labels], progress.step, config.steps, console=console)
    if widened:
        log.say(f"bfloat16 is wrong here in {', '.join(widened)}: these run in float32")
    if progress.step:
        log.say(f"resumed at step {progress.step}")
    if progress.history:
        log.last_dice = progress.history[-1]["dice"]
    batches = Batches(train_samples, config, task.spacing_mm, rank=fabric.global_rank, world=fabric.world_size)
    val_samples = list(val_samples)[: config.val_limit or None]
    clock, first_step = time.monotonic() - progress.seconds, progress.step
    first_seconds = progress.seconds

    def validate_and_save() -> None:
        """What is due after ``progress.step`` steps."""
        last = progress.step >= config.steps
        done = bool(progress.history) and progress.history[-1]["step"] == progress.step
        due = (progress.step % config.val_every == 0 or last) and not done
        if due:
            with _Averaged(network, average):
                scores = validate(
                    network, val_samples, config.patch, task.num_classes, overlap=config.val_overlap,
                    device=fabric.device, autocast=fabric.autocast, progress=lambda *_: stop.check(),
                )  # fmt: skip
            dice, classes = mean_dice(scores), class_means(scores)
            progress.history.append({"step": progress.step, "dice": dice, "per_class": classes})
            schedule.validated(dice)
            best = dice > progress.best_dice
            if best:
                progress.best_dice, progress.best_step = dice, progress.step
            progress.seconds = time.monotonic() - clock
            log.validation(progress.step, dice, classes, progress.seconds, best)
            if best or not (run / BEST).exists():
                save_checkpoint(run / BEST, content(resumable=False))
        if config.keep_every and progress.step % config.keep_every == 0:
            save_checkpoint(run / kept_name(progress.step), content(resumable=False))
        if due or progress.step % config.save_every == 0:
            progress.seconds = time.monotonic() - clock
            save_checkpoint(run / LAST, content())

    network.train()
    try:
        with _StopSignals() as stop, memory_errors(device):
            if progress.step:
                validate_and_save()  # a run stopped during a validation makes up for it
            for step, batch in batches.stream(progress.step, config.steps):
                set_rates(optimizer, schedule.rate(step))
                buffers = [b.clone() for b in network.buffers()]
                image, label = batch.image_BCDHW.to(fabric.device), batch.label_B1DHW.to(fabric.device)
                loss = loss_of(model(image), label)
                optimizer.zero_grad()
                fabric.backward(loss)
                norm = fabric.clip_gradients(
                    model, optimizer, max_norm=config.clip_grad or math.inf, error_if_nonfinite=False
                )
                value = loss.item()
                if not math.isfinite(value) or not math.isfinite(norm):
                    for buffer, before in zip(network.buffers(), buffers, strict=True):
                        buffer.copy_(before)
                    save_checkpoint(run / LAST, content())
                    raise _diverged(step, value, batch, run)
                optimizer.step()
                if average:
                    average.update(network, step)
                progress.step = step + 1
                progress.block = [progress.block[0] + value, progress.block[1] + 1]
                if progress.step % config.log_every == 0 or progress.step == config.steps:
                    progress.seconds = time.monotonic() - clock
                    pace = (progress.seconds - first_seconds) / (progress.step - first_step)
                    mean = progress.block[0] / progress.block[1]
                    log.train(
                        progress.step,
                        mean,
                        schedule.rate(step),
                        progress.seconds,
                        pace * (config.steps - progress.step),
                    )
                    progress.block = [0.0, 0]
                validate_and_save()
                stop.check()
    except OutOfMemory as error:
        crops = config.batch_size * config.crops_per_volume
        raise OutOfMemory(
            f"there is not enough memory on {device} for {crops} crops of {config.patch} with {config.network}",
            "use a smaller --batch-size, --crops-per-volume, --patch or --network, or --precision bf16",
        ) from error
    except _Stopped as stopped:
        progress.seconds = time.monotonic() - clock
        save_checkpoint(run / LAST, content())
        log.say(f"stopped by {stopped.name} after step {progress.step}; the same command continues from there")
        raise SystemExit(stopped.exit_code) from None
    finally:
        log.close()
    return progress


def _diverged(step: int, loss: float, batch: Batch, run: Path) -> Diverged:
    what = f"the loss is {loss}" if not math.isfinite(loss) else "a gradient is not finite"
    return Diverged(
        f"at step {step} {what}; cases in the batch: {', '.join(dict.fromkeys(batch.ids))}; "
        f"{run / LAST} holds the state before that step",
        "look at these cases, or use a lower --lr, a lower --clip-grad or --precision 32",
    )


class _Averaged:
    """Inside the block the network holds the averaged weights (if any); afterwards its own again, bit for bit."""

    def __init__(self, network: nn.Module, average: MovingAverage | None):
        self.network, self.average = network, average

    def __enter__(self) -> None:
        if self.average:
            self.own = {k: v.clone() for k, v in self.network.state_dict().items()}
            self.network.load_state_dict(self.average.state)

    def __exit__(self, *_) -> None:
        if self.average:
            self.network.load_state_dict(self.own)


class _Stopped(Exception):
    def __init__(self, number: int):
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number


class _StopSignals:
    """SIGTERM and the first SIGINT ask the loop to save and stop at its next `check`; a second one acts at once."""

    def __init__(self) -> None:
        self.received = 0
        self.previous: dict[int, object] = {}

    def __enter__(self) -> _StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self.previous[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, _frame) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def check(self) -> None:
        if self.received:
            raise _Stopped(self.received)

    def __exit__(self, *_) -> None:
        self._restore()
