"""The batch of step t is a function of (seed, t) alone: no sampler state to resume, threads and ranks change nothing.

A step has ``batch_size * crops_per_volume`` crops, however many ranks share them and in however many parts
(``accumulate``) they are computed. They are drawn from one random stream. A rank draws all of them, which is cheap, and
computes its own only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from rep3d.data.augment import draw_crop
from rep3d.data.cache import Sample
from rep3d.training.config import TrainConfig
from rep3d.training.sampling import Sampler


@dataclass(frozen=True)
class Batch:
    """image_BCDHW float32 in [0, 1], label_B1DHW uint8, ids of the B crops' cases."""

    image_BCDHW: torch.Tensor
    label_B1DHW: torch.Tensor
    ids: tuple[str, ...]

    def split(self, parts: int) -> list[Batch]:
        """The same crops in order as ``parts`` batches of one size (views), for gradient accumulation.

        Raises ValueError when the crops cannot be shared out evenly.
        """
        if parts < 1 or len(self.ids) % parts:
            raise ValueError(f"{len(self.ids)} crops cannot be shared out to {parts} parts")
        size = len(self.ids) // parts
        return [
            Batch(self.image_BCDHW[i : i + size], self.label_B1DHW[i : i + size], self.ids[i : i + size])
            for i in range(0, len(self.ids), size)
        ]


def share(crops: int, rank: int, world: int, parts: int) -> list[int]:
    """Numbers of the crops of a step that are ``rank``'s, part by part.

    Raises ValueError when the crops cannot be shared out evenly.
    """
    if crops % (world * parts):
        raise ValueError(f"{crops} crops cannot be shared out to {world} ranks in {parts} parts")
    size = crops // (world * parts)
    return [(part * world + rank) * size + i for part in range(parts) for i in range(size)]


class Batches:
    """Random access to the batches of a run: ``batches[t]``; ``stream(start, stop)`` prepares them ahead in threads.

    ``batches[t]`` holds what ``rank`` of ``world`` computes at step t. ``split(accumulate)`` makes the parts of the
    step of it: the m-th parts of all ranks together are the m-th part of the step on one rank.
    """

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
        self.sampler = Sampler(samples, sampling=config.sampling, foreground=config.foreground, seed=config.seed)

    def __getitem__(self, step: int) -> Batch:
        config = self.config
        rng = np.random.default_rng([config.seed, step, 0])
        own = set(share(config.batch_size * config.crops_per_volume, self.rank, self.world, config.accumulate))
        images, labels, ids = [], [], []
        for number in range(max(own) + 1):  # what is drawn after the last own crop is for others
            place, crop = divmod(number, config.crops_per_volume)
            if crop == 0:
                pick = self.sampler.pick(step * config.batch_size + place)
                sample = self.samples[pick.case]
            draw = draw_crop(
                sample, config.patch, self.spacing_mm, config.augment, rng,
                foreground=pick.foreground, target=pick.target,
            )  # fmt: skip
            if number in own:
                image, label = draw.render()
                images.append(image)
                labels.append(label)
                ids.append(sample.id)
        # numpy, not torch, does the copying: torch's thread pool belongs to the training step.
        image, label = np.stack(images)[:, None], np.stack(labels)[:, None]
        return Batch(torch.from_numpy(image), torch.from_numpy(label), tuple(ids))

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
