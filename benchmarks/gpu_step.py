"""A training step of the full network with one operator or another in its large-kernel layers: time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from unittest import mock

import torch
from record import print_rows
from rep3d.layers import csla, large_kernel, lrbm
from rep3d.networks import create_network
from rep3d.training.config import TrainConfig
from rep3d.training.optim import make_loss
from rep3d.training.optimizer import make_optimizer

CLASSES, BATCH = 16, 2


def training_steps(
    device: torch.device, operators: dict[str, Callable], tiny: bool, rounds: int
) -> tuple[list[dict], dict[str, float]]:
    """Rows of every type, and how many times faster than "aten"; one network and optimiser for all, turn by turn."""
    rows, ratios = [], {}
    for kind in ("float32", "bfloat16"):
        found = measure(device, operators, kind, tiny, rounds)
        rows += found
        by_name = {row["operator"]: row for row in found if row["seconds"] is not None}
        for name, row in by_name.items():
            if name != "aten" and "aten" in by_name:
                ratios[f"training step with {name} than with aten, {kind}"] = (
                    by_name["aten"]["seconds"] / row["seconds"]
                )
    columns = {"operator": "operator", "type": "type", "seconds": "seconds", "peak GiB": "peak_gib", "note": "note"}
    print_rows(f"One training step, {rows[0]['network']}, batch {BATCH} of {rows[0]['patch']}^3", rows, columns)
    return rows, ratios


def measure(device: torch.device, operators: dict[str, Callable], kind: str, tiny: bool, rounds: int) -> list[dict]:
    name, patch = ("rep3d-tiny", 32) if tiny else ("rep3d", 96)
    torch.manual_seed(0)
    config = TrainConfig(task="t", network=name, patch=(patch,) * 3)
    network = create_network(name, in_channels=1, out_channels=CLASSES).to(device)
    loss_of, optimizer = make_loss(config.loss), make_optimizer(network, config)
    image = torch.rand(BATCH, 1, patch, patch, patch, device=device)
    label = torch.randint(0, CLASSES, image.shape, dtype=torch.uint8, device=device)

    def step(operator: Callable) -> tuple[float, float | None]:
        gpu = device.type == "cuda"
        if gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        with mock.patch.object(large_kernel, "depthwise_conv3d", operator), \
             mock.patch.object(csla, "depthwise_conv3d", operator), \
             mock.patch.object(lrbm, "depthwise_conv3d", operator):  # fmt: skip
            optimizer.zero_grad()
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=kind == "bfloat16"):
                loss = loss_of(network(image), label)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_grad)
            optimizer.step()
        if gpu:
            torch.cuda.synchronize()
        return time.perf_counter() - start, torch.cuda.max_memory_allocated() / 2**30 if gpu else None

    rows = []
    for operator in operators:
        row = {"what": "training step", "network": name, "patch": patch, "batch": BATCH, "type": kind}
        rows.append({**row, "operator": operator, "seconds": None, "peak_gib": None, "note": ""})
        try:
            step(operators[operator])  # the optimiser's state, choices and compiled kernels exist from here on
        except RuntimeError as error:
            rows[-1]["note"] = f"did not run: {str(error).splitlines()[0]}"
    for _ in range(rounds):
        for row in rows:
            if not row["note"]:
                seconds, row["peak_gib"] = step(operators[row["operator"]])
                row["seconds"] = min(seconds, row["seconds"] or seconds)
    return rows
