"""What a run leaves to be read: log.jsonl, metrics.csv, TensorBoard, and a progress bar with loss, Dice and ETA."""

from __future__ import annotations

import json
import math
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from rep3d.errors import OutputFailed
from rep3d.files import write_text
from rep3d.shown_text import CsvWriter


class RunLog:
    """Logs of one run. Opened at ``from_step``, it forgets what came after: a resumed run logs no step twice."""

    def __init__(
        self, run: Path, label_keys: list[str], from_step: int, total_steps: int, *, console: Console | None = None
    ):
        self.jsonl, self.csv = run / "log.jsonl", run / "metrics.csv"
        self.columns = ["step", "kind", "loss", "lr", "dice", "seconds", *label_keys]
        self.label_keys = label_keys
        self.total_steps = total_steps
        try:
            records = [r for r in read_log(self.jsonl) if r["step"] <= from_step]
            write_text(self.jsonl, "".join(json.dumps(r) + "\n" for r in records))
            write_text(self.csv, "")
            with open(self.csv, "a", encoding="utf-8", newline="") as f:
                writer = CsvWriter(f)
                writer.writerow(self.columns)
                writer.writerows([_cell(r.get(c)) for c in self.columns] for r in records)
        except OSError as error:
            raise OutputFailed(
                f"cannot write the logs in {run}: {error.strerror}", "check permissions, free space"
            ) from error
        from torch.utils.tensorboard import SummaryWriter

        self.board = SummaryWriter(str(run / "tb"), purge_step=from_step + 1 if from_step else None)
        self.console = console or Console()
        self.bar = None
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.percentage:5.1f} %"),
                BarColumn(),
                TextColumn("{task.completed}/{task.total}  {task.description}"),
                console=self.console,
            )
            self.task = self.bar.add_task("", total=total_steps, completed=from_step)
            self.bar.start()
        self.last_dice = math.nan

    def train(self, step: int, loss: float, lr: float, seconds: float, eta_s: float) -> None:
        """A block of steps: mean loss, learning rate, seconds since the run began, seconds to go."""
        self._write({"step": step, "kind": "train", "loss": loss, "lr": lr, "seconds": seconds, "eta_s": eta_s})
        self.board.add_scalar("loss/train", loss, step)
        self.board.add_scalar("lr", lr, step)
        text = f"loss {loss:.4f}  dice {self.last_dice:.4f}  lr {lr:.2e}  eta {clock(eta_s)}"
        if self.bar:
            self.bar.update(self.task, completed=step, description=text)
        else:
            self.say(f"step {step}/{self.total_steps}  {text}")

    def validation(self, step: int, dice: float, per_class: list[float], seconds: float, best: bool) -> None:
        """A validation: mean Dice and the Dice of every class."""
        self.last_dice = dice
        classes = dict(zip(self.label_keys, per_class, strict=True))
        self._write({"step": step, "kind": "val", "dice": dice, "seconds": seconds, **classes})
        self.board.add_scalar("dice/mean", dice, step)
        for key, value in classes.items():
            if not math.isnan(value):
                self.board.add_scalar(f"dice/{key}", value, step)
        self.board.flush()
        parts = "  ".join(f"{k} {v:.3f}" for k, v in classes.items())
        self.say(f"step {step}/{self.total_steps}  validation Dice {dice:.4f}{' (best)' if best else ''}  {parts}")

    def say(self, text: str) -> None:
        """One line for people."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stop the bar, flush TensorBoard."""
        if self.bar:
            self.bar.stop()
        self.board.close()

    def _write(self, record: dict) -> None:
        record = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        record = {k: round(v, 8) if isinstance(v, float) else v for k, v in record.items()}
        try:
            with open(self.jsonl, "a", encoding="utf-8", newline="\n") as f:
                f.write(json.dumps(record) + "\n")
            with open(self.csv, "a", encoding="utf-8", newline="") as f:
                CsvWriter(f).writerow([_cell(record.get(c)) for c in self.columns])
        except OSError as error:
            raise OutputFailed(
                f"cannot write {self.jsonl}: {error.strerror}", "free some space, then resume"
            ) from error


class NoLog:
    """What ranks other than the first have in place of a `RunLog`: nothing is written."""

    last_dice = math.nan

    def train(self, *_) -> None: ...

    def validation(self, *_) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None: ...


def read_log(path: Path) -> list[dict]:
    """Records of a log.jsonl; a last line cut off by a kill is dropped."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            records.append(record)
    return records


def clock(seconds: float) -> str:
    """1:02:03 for 3723 s."""
    if not math.isfinite(seconds):
        return "?"
    minutes, s = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{s:02d}"


def _cell(value: object) -> object:
    return "" if value is None else value
