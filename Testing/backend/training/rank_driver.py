"""Run a series of trainings, each in WORLD processes on one machine, some killed at their own point.

Usage: python rank_driver.py JSON   where JSON is a list of objects:
    data, run, cache: folders; config: changes to the configuration below; world: number of ranks (default 2)
    by: whose environment the ranks find: launch (the default), torchrun or srun
    kill: points of kill_driver.py, each with its rank as in "1:step:2"; the series ends with a run that finishes
    poison: a step whose last crop holds a NaN; all ranks are then expected to fail
    gradients: a file; instead of a training, the gradients of one step in float64 are saved to it by the first rank

Ranks are forked after the imports, before any thread exists.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from pathlib import Path

import kill_driver
import psutil
import torch
from monai.losses import DiceCELoss
from rep3d.data.augment import AugmentConfig
from rep3d.errors import Rep3DError
from rep3d.tasks import load_task
from rep3d.training import loop
from rep3d.training import run as running
from rep3d.training.batches import Batch, share
from rep3d.training.build import build_network
from rep3d.training.config import TrainConfig
from rep3d.training.deep_supervision import supervised
from rep3d.training.optim import shared_batch_dice_ce
from rep3d.training.optimizer import make_optimizer
from rep3d.training.ranks import Ranks, on_one_machine
from rep3d.training.step import step_gradients
from rep3d.training.sync_norm import share_batch_norms


def config(devices: int, changes: dict) -> TrainConfig:
    values = dict(
        task="msd-hippocampus", network="rep3d-tiny", network_args={"in_channels": 1, "reparam": "lrbm"},
        patch=(32, 32, 32), steps=3, batch_size=4, crops_per_volume=1, schedule="constant", lr=2e-3, ema=0.9,
        clip_grad=0.5, device="cpu", threads=1, val_every=3, save_every=1, log_every=1, augment=AugmentConfig(),
    )  # fmt: skip
    return TrainConfig(**{**values, **changes, "devices": devices})


def environment(by: str, rank: int, world: int, port: int, folder: Path) -> dict[str, str]:
    """What the starter of a rank on one machine sets; folder: empty, for the ranks of this run."""
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    rank, world = str(rank), str(world)
    return common | {
        "launch": {"LOCAL_RANK": rank, "NODE_RANK": "0", **on_one_machine(folder)},
        "torchrun": {
            "TORCHELASTIC_RUN_ID": "none", "RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": "0",
            "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world,
        },
        "srun": {
            "SLURM_NTASKS": world, "SLURM_NTASKS_PER_NODE": world, "SLURM_NNODES": "1", "SLURM_JOB_ID": "1",
            "SLURM_STEP_ID": "0", "SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NODEID": "0",
            "SLURM_JOB_NAME": "train",
        },
    }[by]  # fmt: skip


def poison(step: int) -> None:
    original = loop.Batches.__getitem__

    def poisoned(self, number):
        batch = original(self, number)
        if number == step and self.rank == self.world - 1:
            batch.image_BCDHW[-1, 0, 5, 5, 5] = float("nan")
        return batch

    loop.Batches.__getitem__ = poisoned


def save_gradients(config: TrainConfig, path: str) -> None:
    """Gradients, norm statistics, loss and norm of one step on random crops, in float64 from end to end."""
    ranks = Ranks(config)
    torch.manual_seed(0)
    network = build_network(config, 3).double()
    optimizer = make_optimizer(network, config)
    if ranks.world > 1:
        network = share_batch_norms(network, ranks.device)
    model, optimizer = ranks.fabric.setup(network, optimizer)
    crops = config.batch_size * config.crops_per_volume
    image, label = torch.rand(crops, 1, *config.patch).double(), torch.randint(0, 3, (crops, 1, *config.patch))
    own = share(crops, ranks.rank, ranks.world, config.accumulate)
    batch = Batch(image[own], label[own].to(torch.uint8), tuple(map(str, own)))
    plain = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)
    loss_of = supervised(shared_batch_dice_ce if ranks.world > 1 else plain)
    loss, norm = step_gradients(ranks.fabric, model, optimizer, loss_of, batch, config)
    losses = ranks.gather(loss)
    listening = [c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
    everywhere = ranks.gather(listening)
    if ranks.first:
        print(f"listening with {ranks.world} ranks: {json.dumps(everywhere)}", flush=True)
        found = {name: p.grad for name, p in network.named_parameters()} | dict(network.named_buffers())
        found |= {
            "loss": torch.tensor(losses, dtype=torch.float64).mean(),
            "norm": torch.tensor(norm, dtype=torch.float64),
        }
        torch.save(found, path)


def ranks(entry: dict, point: str | None) -> list[int]:
    """Exit codes of the ranks of one run."""
    world = entry.get("world", 2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children, folder = [], Path(tempfile.mkdtemp(dir=Path(entry["run"]).parent))
    for rank in range(world):
        child = os.fork()
        if child == 0:
            by = entry.get("by", "launch")
            os.environ |= environment(by, rank, world, port, folder)
            if point and point.startswith(f"{rank}:"):
                kill_driver.arm(point.split(":", 1)[1])
            if "poison" in entry:
                poison(entry["poison"])
            devices = world if by == "launch" else 1  # the others say it themselves
            settings = config(devices, entry.get("config", {}))
            if "gradients" in entry:
                save_gradients(settings, entry["gradients"])
                os._exit(0)
            try:
                running.run_training(
                    settings, load_task("msd-hippocampus"), Path(entry["data"]), Path(entry["run"]),
                    cache=Path(entry["cache"]),
                )  # fmt: skip
            except Rep3DError as error:
                os.write(1, f"{type(error).__name__} on rank {rank}: {error}\n".encode())  # whole, beside the other's
                os._exit(1)
            os._exit(0)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main() -> None:
    for entry in json.loads(sys.argv[1]):
        for point in [*entry.get("kill", []), None]:
            codes = ranks(entry, point)
            killed = int(point.split(":")[0]) if point else None
            if "poison" in entry:
                killed, alive = None, 1
            else:
                alive = 1 if point else 0
            expected = [-9 if rank == killed else alive for rank in range(len(codes))]
            print(f"{point or 'finished'}: {codes}", flush=True)
            if codes != expected:
                raise SystemExit(f"{point or 'the last run'} ended with {codes}, expected {expected}")


if __name__ == "__main__":
    main()
