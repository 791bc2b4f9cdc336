"""``--devices N`` without torchrun or srun: this process starts the ranks of its machine and watches over them.

Each rank is a Python process of its own that repeats none of the command: it reads what to do from its standard input
and then listens there. A line "stop N" asks it to stop as signal N would; the end of the input means that this process
has gone, and does the same. So nothing depends on signals between processes, which Windows does not have, and Ctrl-C in
a terminal reaches the ranks once. A rank that ends early ends the others; its own error is the one that is raised.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rich.console import Console

import rep3d
from rep3d.errors import BadInput, Rep3DError
from rep3d.runtime.privacy import stay_private
from rep3d.runtime.private_folder import private_folder
from rep3d.training.config import TrainConfig
from rep3d.training.ranks import LAUNCHED_VARIABLE, RankLost, on_one_machine
from rep3d.training.state import Progress
from rep3d.training.stopping import ask_to_stop

COMMAND = [sys.executable, "-c", "from rep3d.training.launch import rank_main; rank_main()"]
POLL_S = 0.05
GRACE_S = 20.0  # for the other ranks to notice by themselves that one has gone
WORDS = "the same command continues from the last checkpoint"


def launch(config: TrainConfig, task: Any, data: Path, run: Path, *, console: Console | None, **named: Any) -> Progress:
    """`run_training` in ``config.devices`` processes on this machine; returns the first one's result.

    With ``config.nodes`` above 1 the same command has to be started on every machine with MASTER_ADDR, MASTER_PORT and
    NODE_RANK set. Raises what the ranks raise, BadInput, RankLost when one was killed, SystemExit after a signal.
    """
    world = config.devices * config.nodes
    with private_folder() as folder:
        places = _addresses(config, folder)
        ranks: list[_Rank] = []
        with _passed_on(ranks) as signals, _all_ended(ranks):
            for local in range(config.devices):
                environment = {
                    **os.environ,
                    **places,
                    "LOCAL_RANK": str(local),
                    "WORLD_SIZE": str(world),
                    LAUNCHED_VARIABLE: "1",
                    "PYTHONPATH": os.pathsep.join([str(Path(rep3d.__file__).parents[1]), *sys.path]),
                }
                report = folder / f"{local}.report"
                payload = pickle.dumps((report, (config, task, Path(data), Path(run)), named))
                ranks.append(_Rank(local, report, payload, environment, console if local == 0 else None))
            ended = _wait(ranks, signals)
        return _outcome(ranks, ended, signals)


def _addresses(config: TrainConfig, folder: Path) -> dict[str, str]:
    if config.nodes == 1:
        return {"NODE_RANK": "0", **on_one_machine(folder)}
    if missing := [n for n in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK") if n not in os.environ]:
        raise BadInput(
            f"--nodes {config.nodes} needs {', '.join(missing)} in the environment",
            "start the command with torchrun or srun, or set them on every machine",
        )
    return {}


class _Rank:
    """One started process."""

    def __init__(self, local: int, report: Path, payload: bytes, environment: dict[str, str], console: Console | None):
        self.local, self.report = local, report
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self.process = subprocess.Popen(
            COMMAND, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE if console else None, **apart,
        )  # fmt: skip
        if console:
            threading.Thread(target=_copy, args=(self.process.stdout, console), daemon=True).start()
        with contextlib.suppress(OSError):  # it has ended already: seen by `_wait`
            self.process.stdin.write(len(payload).to_bytes(8, "big") + payload)
            self.process.stdin.flush()

    def ask_to_stop(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self.process.stdin.write(f"stop {number}\n".encode())
            self.process.stdin.flush()

    def told(self) -> tuple[str, Any] | None:
        """("done", Progress), ("error", exception), ("exit", code), or None when it could not say."""
        try:
            return pickle.loads(self.report.read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError):
            return None


def _copy(stream: IO[bytes], console: Console) -> None:
    for line in stream:
        console.print(line.decode(errors="replace").rstrip("\r\n"), markup=False, highlight=False, soft_wrap=True)


def _wait(ranks: list[_Rank], signals: list[int]) -> list[_Rank]:
    """Until all have ended; those that did. After the first failure the others have GRACE_S to end by themselves."""
    failed_at = None
    while any(rank.process.poll() is None for rank in ranks):
        if failed_at is None and any(rank.process.poll() for rank in ranks) and not signals:
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > GRACE_S:
            break  # `_all_ended` ends the others
        time.sleep(POLL_S)
    return [rank for rank in ranks if rank.process.poll() is not None]


def _outcome(ranks: list[_Rank], ended: list[_Rank], signals: list[int]) -> Progress:
    reports = [rank.told() for rank in ranks]
    errors = [value for kind, value in filter(None, reports) if kind == "error"]
    own = [error for error in errors if not isinstance(error, RankLost)]
    if own:
        raise own[0]
    codes = [value for kind, value in filter(None, reports) if kind == "exit"]
    for rank, told in zip(ranks, reports, strict=True):
        code = rank.process.returncode
        if told is None and rank in ended and code != 0 and not signals:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            raise RankLost(
                f"process {rank.local} of {len(ranks)} {how}", f"{WORDS}; the system may have been short of memory"
            )
    if errors:
        raise errors[0]
    if codes or signals:
        raise SystemExit(max(codes) if codes else 128 + signals[0])
    return reports[0][1]


@contextlib.contextmanager
def _passed_on(ranks: list[_Rank]) -> Iterator[list[int]]:
    """SIGTERM and SIGINT become requests to all ranks to stop; a second one ends them at once."""
    signals: list[int] = []

    def receive(number: int, _frame) -> None:
        signals.append(number)
        for rank in ranks:
            rank.ask_to_stop(number) if len(signals) == 1 else rank.process.kill()

    previous = {}
    if threading.current_thread() is threading.main_thread():
        previous = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield signals
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _all_ended(ranks: list[_Rank]) -> Iterator[None]:
    """Whatever happens in the block, no rank is left running after it."""
    try:
        yield
    finally:
        for rank in ranks:
            if rank.process.poll() is None:
                rank.process.kill()
        for rank in ranks:
            rank.process.wait()
            with contextlib.suppress(OSError):
                rank.process.stdin.close()


def rank_main() -> None:
    """What a started process does."""
    stay_private()
    source = sys.stdin.buffer
    size = int.from_bytes(source.read(8), "big")
    report, arguments, named = pickle.loads(source.read(size))
    threading.Thread(target=_listen, args=(source,), daemon=True).start()
    from rep3d.training.run import run_training

    try:
        told, code = ("done", run_training(*arguments, **named)), 0
    except Rep3DError as error:
        error.__cause__ = None  # it may not be picklable, and its message says what matters
        told, code = ("error", error), 1
    except SystemExit as stop:
        told, code = ("exit", stop.code), stop.code
    report.write_bytes(pickle.dumps(told))
    sys.stdout.flush()
    # No waiting for connections to ranks that may have gone: everything of value is on the disk.
    os._exit(code)


def _listen(source: IO[bytes]) -> None:
    for line in source:
        if line.startswith(b"stop "):
            ask_to_stop(int(line[5:]))
    ask_to_stop(int(signal.SIGTERM))
