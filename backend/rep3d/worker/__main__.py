"""``python -m rep3d.worker --folder PRIVATE --parent PID``: see docs/worker.md."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import rep3d
from rep3d.runtime.privacy import stay_private
from rep3d.worker.channel import Channel
from rep3d.worker.folder import pid_alive, why_not_private
from rep3d.worker.methods import MethodTable
from rep3d.worker.server import Server


def leave_current_folder() -> None:
    """Import nothing from the folder in which the parent happens to run, which ``-m`` puts first on the path."""
    here = os.getcwd()
    if sys.path and sys.path[0] in ("", here) and Path(here) != Path(rep3d.__file__).parents[1]:
        del sys.path[0]


def main() -> None:
    """Serve until standard input ends or the parent is gone. Exit code 2: cannot start, standard error says why."""
    leave_current_folder()
    stay_private()
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
