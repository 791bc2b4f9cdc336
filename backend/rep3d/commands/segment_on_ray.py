"""The part of ``rep3d segment --ray`` that talks: a line for each scan, worker and mishap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rep3d.commands.segment import progress_bar, report

if TYPE_CHECKING:
    from rich.console import Console

    from rep3d.inference.batch import Job, Outcome
    from rep3d.inference.ray_session import ClusterOptions
    from rep3d.weights import Weights


def segment_on_ray(
    console: Console, jobs: list[Job], weights: Weights, options: dict, cluster: ClusterOptions, **more: Any
) -> list[Outcome]:
    """All jobs on a Ray cluster; ``more``: of ``run_on_cluster``."""
    from rep3d.inference.cluster import Listener, run_on_cluster

    told: set[str] = set()
    with progress_bar(console) as bar:
        task_id = bar.add_task("starting workers", total=len(jobs))

        def on_end(i: int, outcome: Outcome) -> None:
            report(console, outcome, weights, told)
            bar.update(task_id, advance=1)

        listener = Listener(
            on_start=lambda i, job: bar.update(task_id, description=f"{len(jobs)} scans"),
            on_end=on_end,
            on_note=lambda text: console.print(f"note     {text}", markup=False),
            on_worker=lambda node, pid: console.print(f"worker   {node}, process {pid}", markup=False),
        )
        return run_on_cluster(jobs, weights, options, cluster, listener=listener, **more)
