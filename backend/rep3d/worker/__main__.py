"""``python -m rep3d.worker --folder PRIVATE --parent PID``: see docs/worker.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from rep3d.worker.channel import Channel
from rep3d.worker.folder import pid_alive, why_not_private
from rep3d.worker.methods import MethodTable
from rep3d.worker.server import Server


def main() -> None:
    """Serve until standard input ends or the parent is gone. Exit code 2: cannot start, standard error says why."""
    parser = argparse.ArgumentParser("rep3d.worker", description="Runs Rep3D for another program, see docs/worker.md.")
    parser.add_argument("--folder", type=Path, required=True, help="private folder for arrays; removed at the end")
    parser.add_argument("--parent", type=int, required=True, help="process id of the program that must live")
    options = parser.parse_args()
    problem = why_not_private(options.folder)
    if not problem and not pid_alive(options.parent):
        problem = f"there is no process {options.parent}"
    if problem:
        parser.exit(2, f"rep3d.worker cannot start: {problem}\n")
    folder = options.folder.resolve()
    Server(Channel.take_over(), folder, MethodTable(folder), options.parent).run()


if __name__ == "__main__":
    main()
