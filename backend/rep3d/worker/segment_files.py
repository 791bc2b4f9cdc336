"""``segment_files``: a folder of scans to a folder of results, which stay whatever happens to the rest."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rep3d.errors import BadInput, Rep3DError
from rep3d.inference import batch
from rep3d.inference.batch import Outcome
from rep3d.inference.pipeline import segment_with_weights
from rep3d.inference.writing import check_format, format_of
from rep3d.worker import failures, protocol
from rep3d.worker.job import Job
from rep3d.worker.segment import run_options
from rep3d.worker.warm import WarmModels


def segment_files(job: Job, models: WarmModels) -> dict[str, Any]:
    """See docs/worker.md. A scan that fails is an outcome and the rest go on; Cancelled ends the batch.

    Raises:
        BadInput: no scan, names that clash. WeightsMissing, WeightsInvalid, OutputFailed (the folder), Cancelled.
    """
    p = job.params
    output = Path(p["output"])
    if not output.is_dir() and (output.exists() or format_of(output)):
        raise BadInput(f"{output} is no folder.", "Choose a folder for the results.")
    output.mkdir(parents=True, exist_ok=True)
    jobs = batch.plan([Path(path) for path in p["inputs"]], output, check_format(p["format"]))
    model = models.model(p["task"], p["weights"], job)
    at = 0

    def progress(fraction: float, stage: str) -> None:
        name = jobs[at].source.name
        job.progress((at + fraction) / len(jobs), f"scan {at + 1} of {len(jobs)}, {name}: {stage}")

    def on_start(i: int, _: batch.Job) -> None:
        nonlocal at
        at = i
        job.check()
        progress(0.0, "reading")

    def run(volume):
        try:
            return segment_with_weights(
                volume,
                model.weights,
                model.network,
                structures=tuple(p["structures"]) if p["structures"] else None,
                progress=progress,
                cancelled=job.cancelled,
                remove_islands=p["remove_islands"],
                **run_options(p),
            )
        except Rep3DError:
            raise
        except Exception as error:
            known = failures.as_user_error(error)
            if known is None:
                raise
            job.device_lost |= failures.is_device_failure(error)
            raise known from error

    def on_end(i: int, outcome: Outcome) -> None:
        job.log(line(outcome), "warning" if outcome.error else "info")

    outcomes = batch.run_jobs(jobs, run, overwrite=p["overwrite"], on_start=on_start, on_end=on_end)
    return fit([as_dict(outcome) for outcome in outcomes])


def line(outcome: Outcome) -> str:
    """What became of one scan, for the log."""
    source = outcome.job.source.name
    if outcome.error:
        return f"{source}: failed: {outcome.error}"
    if outcome.result is None:
        return f"{source}: skipped, {outcome.job.files.labels.name} is there already"
    found = sum(s.voxels > 0 for s in outcome.result.stats)
    return f"{source}: done in {outcome.seconds:.1f} s, {found} of {len(outcome.result.stats)} structures found"


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """JSON-able."""
    error = None
    if outcome.error is not None:
        failure = failures.describe(outcome.error)
        error = {"code": failure.code, "message": failure.message, "hint": failure.hint}
    return {
        "source": str(outcome.job.source),
        "labels": str(outcome.job.files.labels),
        "status": outcome.status,
        "error": error,
        "stats": [asdict(s) for s in outcome.result.stats] if outcome.result else [],
        "warnings": list(outcome.result.warnings) if outcome.result else [],
        "cautions": [caution.to_dict() for caution in outcome.result.cautions] if outcome.result else [],
        "seconds": outcome.seconds,
    }


def fit(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    """The result; ``stats`` are left out where thousands of scans would exceed a line (each scan's files hold them)."""
    complete = {"outcomes": outcomes, "stats_left_out": False}
    try:
        protocol.encode(protocol.result(0, complete) | {"id": "x" * protocol.MAX_ID})
    except protocol.ProtocolError:
        return {"outcomes": [outcome | {"stats": []} for outcome in outcomes], "stats_left_out": True}
    return complete
