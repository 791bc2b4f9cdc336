"""The processes ("ranks") that share a run: who this one is, and what they tell each other.

`torchrun` and `srun` start the ranks themselves and Lightning Fabric reads their environment; otherwise `launch` starts
them. Gradients travel by Fabric's DDP (NCCL on GPUs, gloo on CPUs). Everything else (losses, signals, scores) goes as
small objects over a gloo group of its own, where the end of a process is noticed as a closed connection.

All machines must see the run folder and the data under the same paths.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from rep3d.errors import BadInput, DeviceUnavailable, Rep3DError
from rep3d.inference.devices import resolve_device
from rep3d.training.config import TrainConfig

#: Seconds after which a rank that does not answer counts as lost.
TIMEOUT_VARIABLE = "REP3D_RANK_TIMEOUT"
TIMEOUT_S = 1800.0
#: Set in processes that `launch` starts.
LAUNCHED_VARIABLE = "REP3D_LAUNCHED"
#: Set by `launch` on one machine: the address of the file through which the ranks find each other.
RENDEZVOUS_VARIABLE = "REP3D_RENDEZVOUS"
BEAT_S = 5.0  # a rank that lets others wait tells them so this often
_LOST = ("gloo", "nccl", "connection closed", "connection reset", "timed out", "timeout", "broken pipe", "store")


class RankLost(Rep3DError):
    """Another process of the run has ended, or does not answer."""

    code = "internal"


def as_started(config: TrainConfig) -> TrainConfig:
    """``config`` with the devices and nodes that `torchrun` or `srun` has started, where one of them has.

    Raises BadInput when the configuration asks for another number.
    """
    if _started_by_torchrun():
        world, local, name = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"]), "torchrun"
    elif _started_by_srun():
        world, name = int(os.environ["SLURM_NTASKS"]), "srun"
        if "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise BadInput("srun does not say how many tasks each node has", "give it --ntasks-per-node")
        local = int(os.environ["SLURM_NTASKS_PER_NODE"])
    else:
        return config
    if world % local:
        raise BadInput(f"{name} has started {world} processes, {local} on this machine", "use the same number on all")
    for option, asked, started in (("devices", config.devices, local), ("nodes", config.nodes, world // local)):
        if asked not in (1, started):
            raise BadInput(f"--{option} is {asked}, but {name} has started {started}", f"leave --{option} out")
    return replace(config, devices=local, nodes=world // local)


def is_rank() -> bool:
    """Whether this process was started as one of several: by torchrun, by srun, by `launch` or by hand."""
    return _started_by_torchrun() or _started_by_srun() or "LOCAL_RANK" in os.environ


def is_first_process() -> bool:
    """Whether files that belong to several runs are this process's to write: rank 0, or the one that starts ranks."""
    if _started_by_torchrun():
        return os.environ["RANK"] == "0"
    if _started_by_srun():
        return os.environ["SLURM_PROCID"] == "0"
    return os.environ.get("LOCAL_RANK", "0") == os.environ.get("NODE_RANK", "0") == "0"


def _started_by_torchrun() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


def _started_by_srun() -> bool:
    """Inside a step of srun with several tasks; a batch script without srun has the other variables only."""
    if LAUNCHED_VARIABLE in os.environ or not {"SLURM_STEP_ID", "SLURM_PROCID"} <= os.environ.keys():
        return False
    return int(os.environ.get("SLURM_NTASKS", "1")) > 1


def timeout() -> timedelta:
    """``REP3D_RANK_TIMEOUT`` seconds, or half an hour. Raises BadInput."""
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(text) if text else TIMEOUT_S
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise BadInput(f"{TIMEOUT_VARIABLE} is {text!r}, not a number of seconds")
    return timedelta(seconds=seconds)


def on_one_machine(folder: Path) -> dict[str, str]:
    """Give the variables with which the ranks of one machine meet without a port that the network can reach.

    They find each other through a file, and their sockets are on the loopback interface (on Windows Gloo takes the
    address of the computer's own name).

    Args:
        folder: a private one that all ranks can write to; another for each run.
    """
    loopback = {"linux": "lo", "darwin": "lo0"}.get(sys.platform)
    sockets = {"GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback} if loopback else {}
    return {RENDEZVOUS_VARIABLE: (folder / "rendezvous").absolute().as_uri(), **sockets}


class Ranks:
    """This process and the others of its run; ``fabric`` is Lightning Fabric, set up for them.

    Args:
        config: as it comes from `as_started`.

    Raises BadInput, DeviceUnavailable, RankLost when the others cannot be reached.
    """

    def __init__(self, config: TrainConfig):
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import LightningEnvironment
        from lightning_fabric.strategies import DDPStrategy

        self.device = resolve_device(config.device)
        self.world = config.devices * config.nodes
        self.rank = 0
        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # config.json says which precision is used
        precision = {"32": "32-true", "bf16": "bf16-mixed"}[config.precision]
        if config.threads:
            torch.set_num_threads(config.threads)
        # Without torchrun and srun Fabric must not take a variable of a scheduler for an order.
        plugins = None if _started_by_torchrun() or _started_by_srun() else [LightningEnvironment()]
        if self.world == 1:
            devices = [self.device.index or 0] if self.device.type == "cuda" else 1
            self.fabric = Fabric(accelerator=self.device.type, devices=devices, precision=precision, plugins=plugins)
            return
        check_devices(config, self.device)
        # Norm statistics are shared in the forward pass, so buffers are the same without being sent.
        known = inspect.signature(torch.nn.parallel.DistributedDataParallel.__init__).parameters
        never_sent = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"  # its old name
        strategy = DDPStrategy(timeout=timeout(), **{never_sent: False})
        with _lost("The processes of the run cannot reach each other"):
            self.fabric = Fabric(
                accelerator=self.device.type, devices=config.devices, num_nodes=config.nodes,
                strategy=strategy, precision=precision, plugins=plugins,
            )  # fmt: skip
            if where := os.environ.get(RENDEZVOUS_VARIABLE):  # Fabric takes a group that is there already
                torch.distributed.init_process_group(
                    "nccl" if self.device.type == "cuda" else "gloo", init_method=where, timeout=timeout(),
                    world_size=self.world, rank=int(os.environ["LOCAL_RANK"]),
                )  # fmt: skip
            self.fabric.launch()
            self.control = torch.distributed.new_group(backend="gloo", timeout=timeout())
        self.rank = self.fabric.global_rank
        self.device = self.fabric.device
        if self.device.type == "cpu" and not config.threads:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // config.devices))

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes files and speaks to the user."""
        return self.rank == 0

    def gather(self, value: Any) -> list:
        """``value`` of every rank, in their order. Raises RankLost."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        with _lost():
            torch.distributed.all_gather_object(values, value, group=self.control)
        return values

    def seed_step(self, seed: int, step: int) -> None:
        """Random numbers of the network (dropout) on ranks after the first: their own, and the same after a resume."""
        if self.rank:
            torch.manual_seed(hash((seed, step, self.rank)) % 2**63)

    @contextlib.contextmanager
    def in_turn(self) -> Iterator[None]:
        """The block runs on the first rank, however long it takes, and then on the others.

        Raises RankLost on the others when it failed on the first, or the first has ended.
        """
        if self.world == 1:
            yield
        elif self.first:
            with self._beating():
                yield
        else:
            self._wait_for_first()
            yield

    @contextlib.contextmanager
    def _beating(self) -> Iterator[None]:
        done, failed = threading.Event(), []

        def beat() -> None:
            with contextlib.suppress(RuntimeError):  # the others have gone: the next exchange says so
                while not done.wait(BEAT_S):
                    self._broadcast(1)
                self._broadcast(-1 if failed else 0)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            failed.append(True)
            raise
        finally:
            done.set()
            thread.join()

    def _wait_for_first(self) -> None:
        with _lost():
            while (state := self._broadcast(1)) == 1:
                pass
        if state < 0:
            raise RankLost("The first process of the run has failed", "Its own message says why.")

    def _broadcast(self, state: int) -> int:
        tensor = torch.tensor([state])
        torch.distributed.broadcast(tensor, src=0, group=self.control)
        return int(tensor)

    def lost(self) -> contextlib.AbstractContextManager:
        """Inside the block a failed exchange of gradients or norm statistics raises RankLost."""
        return _lost() if self.world > 1 else contextlib.nullcontext()


def check_devices(config: TrainConfig, device: torch.device) -> None:
    """Raise BadInput or DeviceUnavailable unless ``config.devices`` processes can each have a device of this kind."""
    if device.type == "mps":
        raise BadInput("--device mps trains in one process", "leave --devices and --nodes out")
    if ":" in config.device:
        raise BadInput(
            f"--device {config.device} names one GPU, but {config.devices * config.nodes} processes are to share a run",
            "use --device cuda; CUDA_VISIBLE_DEVICES chooses among GPUs",
        )
    if device.type == "cuda" and config.devices > torch.cuda.device_count():
        raise DeviceUnavailable(f"--devices {config.devices}, but this machine has {torch.cuda.device_count()} GPUs")


@contextlib.contextmanager
def _lost(message: str = "Another process of the run has ended or does not answer") -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if any(word in str(error).lower() for word in _LOST):
            reason = re.sub(r"^\[[^]]*\]\s*|\. This is typically.*$", "", str(error).splitlines()[0])
            raise RankLost(f"{message} ({reason})", "The same command continues from the last checkpoint.") from error
        raise


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.contiguous().clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return _Sum.apply(gradient)


def sum_over_ranks(tensor: torch.Tensor) -> torch.Tensor:
    """Sum of every rank's ``tensor`` (any shape, the same on all).

    Its gradient is the sum of every rank's gradient: with the mean over ranks that DDP takes, parameters get the
    gradient of the mean of all ranks' losses.
    """
    return _Sum.apply(tensor)
