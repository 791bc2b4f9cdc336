"""The batch of step t is a function of (seed, t, rank) alone: no sampler state to resume, threads change nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from rep3d.data.augment import random_crop
from rep3d.data.cache import Sample
from rep3d.training.config import TrainConfig


@dataclass(frozen=True)
class Batch:
    """image_BCDHW float32 in [0, 1], label_B1DHW uint8, ids of the B crops' cases."""

    image_BCDHW: torch.Tensor
    label_B1DHW: torch.Tensor
    ids: tuple[str, ...]


class Batches:
    """Random access to the batches of a run: ``batches[t]``; ``stream(start, stop)`` prepares them ahead in threads."""

    def __init__(
        self,
        samples: Sequence[Sample],
        config: TrainConfig,
        spacing_mm: tuple[float, float, float],
        *,
        rank: int = 0,
        world: int = 1,
    ):
        self.samples = samples
        self.config = config
        self.spacing_mm = spacing_mm
        self.rank = rank
        self.world = world

    def __getitem__(self, step: int) -> Batch:
        config = self.config
        rng = np.random.default_rng([config.seed, step, self.rank])
        images, labels, ids = [], [], []
        for place in range(config.batch_size):
            sample = self.samples[self._case_at((step * self.world + self.rank) * config.batch_size + place)]
            for _ in range(config.crops_per_volume):
                image, label = random_crop(
                    sample, config.patch, self.spacing_mm, config.augment, rng, foreground=config.foreground
                )
                images.append(image)
                labels.append(label)
                ids.append(sample.id)
        # numpy, not torch, does the copying: torch's thread pool belongs to the training step.
        image, label = np.stack(images)[:, None], np.stack(labels)[:, None]
        return Batch(torch.from_numpy(image), torch.from_numpy(label), tuple(ids))

    def _case_at(self, position: int) -> int:
        """Cases come in a new order every epoch; the order is a function of (seed, epoch)."""
        epoch, place = divmod(position, len(self.samples))
        order = np.random.default_rng([self.config.seed, epoch, 0, 1]).permutation(len(self.samples))
        return int(order[place])

    def stream(self, start: int, stop: int) -> Iterator[tuple[int, Batch]]:
        """(step, batch) for start <= step < stop, in order; ``config.workers`` threads work ahead (0: none)."""
        workers = self.config.workers
        if workers == 0:
            for step in range(start, stop):
                yield step, self[step]
            return
        with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
            ahead: deque = deque()
            coming = iter(range(start, stop))
            try:
                for step in coming:
                    ahead.append((step, pool.submit(self.__getitem__, step)))
                    if len(ahead) > workers + 1:
                        done, future = ahead.popleft()
                        yield done, future.result()
                while ahead:
                    done, future = ahead.popleft()
                    yield done, future.result()
            finally:
                for _, future in ahead:
                    future.cancel()
