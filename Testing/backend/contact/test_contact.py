"""Rep3D contacts nobody and writes into its own folders alone: every command and the worker in watched processes.

What native code does cannot be seen from Python; docs/privacy.md says how that was looked at.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import typer
from rep3d.cli import app
from rep3d.runtime import privacy
from rep3d.worker import protocol
from rep3d.worker.folder import make_private_folder

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
FAILS = {"weights download none", "import authors.pth --task msd-hippocampus -o imported.safetensors"}


@dataclass(frozen=True)
class Watched:
    """Folders of watched processes: the user's home, the folder for temporary files, and the one they run in."""

    root: Path

    def start(self, *command: str) -> subprocess.Popen:
        """Start Python with these arguments as a user whose home is empty would."""
        for folder in ("home", "tmp", "work"):
            (self.root / folder).mkdir(exist_ok=True)
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "SYSTEMROOT", "LANG", "LD_LIBRARY_PATH")}
        environment = kept | {
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "WATCH_LOG": str(self.root / "log"),
            "PYTHONPATH": os.pathsep.join([str(HERE / "watch"), str(ROOT / "backend")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "REP3D_CONV_ALGORITHM": "fft",
        }
        with open(self.root / "stderr", "wb") as errors:
            return subprocess.Popen(
                [sys.executable, *command], cwd=self.root / "work", env=environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            )  # fmt: skip

    def run(self, *command: str) -> bytes:
        """What it prints; it must end well."""
        process = self.start(*command)
        printed, _ = process.communicate()
        assert process.returncode == 0, self.errors()
        return printed

    def errors(self) -> str:
        """The end of what the last process printed to standard error."""
        return (self.root / "stderr").read_text(encoding="utf-8", errors="replace")[-4000:]

    def found(self) -> tuple[list, list]:
        """(lookups and connections beyond this machine, files outside Rep3D's own folders) so far."""
        home = self.root / "home"
        own = [self.root / "work", self.root / "tmp", home / ".cache" / "rep3d", home / ".local" / "share" / "rep3d"]
        contacts, files = [], []
        for line in (self.root / "log").read_text(encoding="utf-8").splitlines():
            what, where = json.loads(line)
            if what == "write":
                path = Path(where)
                if not any(path.is_relative_to(f) or f.is_relative_to(path) for f in own) and where != os.devnull:
                    files.append(where)
            elif isinstance(where, str) and what == "connect":
                continue  # a socket in the file system
            elif (where[0] if isinstance(where, list) else where) not in LOOPBACK:
                contacts.append([what, where])
        return contacts, files


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Watched:
    return Watched(tmp_path_factory.mktemp("watched"))


def test_the_watch_can_fail(tmp_path):
    watched = Watched(tmp_path)
    code = (
        "import socket, os\n"
        "try: socket.getaddrinfo('example.invalid', 80, flags=socket.AI_NUMERICHOST)\n"
        "except OSError: pass\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 0)); s.connect(('127.0.0.1', 9))\n"
        "open(os.path.expanduser('~/cid'), 'w'); os.makedirs(os.path.expanduser('~/intel/a'))"
    )
    watched.run("-c", code)
    contacts, files = watched.found()
    assert contacts == [["lookup", "example.invalid"], ["bind", ["0.0.0.0", 0]]]
    assert [Path(f).relative_to(tmp_path / "home").as_posix() for f in files] == ["cid", "intel", "intel/a"]


def names(group: typer.Typer | None = app, before: str = "") -> set[str]:
    """All commands, such as "segment" and "weights list"."""
    found = {before + command.name for command in group.registered_commands}
    for inner in group.registered_groups:
        found |= names(inner.typer_instance, f"{before}{inner.name or inner.typer_instance.info.name} ")
    return found


@pytest.fixture(scope="module")
def codes(watched) -> dict[str, int]:
    """Every command -> its exit code."""
    return json.loads(watched.run(str(HERE / "everything.py")))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_command(watched, codes):
    assert {line for line, code in codes.items() if code} == FAILS, watched.errors()
    assert not [name for name in names() if not any(line.startswith(f"{name} ") or line == name for line in codes)]
    assert watched.found() == ([], [])
    assert os.listdir(watched.root / "tmp") == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_worker(watched, codes):
    folder = make_private_folder(root=watched.root / "tmp")
    np.save(folder / "scan.npy", np.random.default_rng(0).normal(size=(32, 40, 32)).astype("float32"))
    volume = {"array": "scan.npy", "affine": np.eye(4).tolist(), "name": "scan"}
    run = {"weights": str(watched.root / "work" / "weights.safetensors")}
    asked = [("hello", {}), ("tasks", {}), ("models", {}), ("masks", run)]
    asked += [("segment", {**run, "volume": volume, "device": "cpu", "engine": "openvino"})]
    process = watched.start("-m", "rep3d.worker", "--folder", str(folder), "--parent", str(os.getpid()))
    for method, params in asked:
        process.stdin.write(protocol.request(method, method, params))
        process.stdin.flush()
        while "event" in (reply := protocol.read_reply(process.stdout.readline())):
            pass
        assert reply["id"] == method and "result" in reply, (reply, watched.errors())
    process.communicate()  # the end of its input ends it
    assert watched.found() == ([], [])
    assert os.listdir(watched.root / "tmp") == []


def test_openvino_is_imported_in_one_place_only():
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    importers = {name for name in tracked.stdout.splitlines() if imports_openvino((ROOT / name).read_text("utf-8"))}
    assert importers == set()
    assert imports_openvino("import os, openvino as ov") and imports_openvino("from openvino.runtime import Core")
    assert imports_openvino("pytest.importorskip('openvino')") and imports_openvino("__import__('openvino.op')")


def imports_openvino(code: str) -> bool:
    """Whether it does so by any other way than ``import_openvino``."""
    if "openvino" not in code:
        return False
    for node in ast.walk(ast.parse(code)):
        named: list[str] = []
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            named = [node.module or ""]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if function in ("import_module", "__import__", "importorskip"):
                named = [str(node.args[0].value)]
        if any(name.split(".")[0] in ("openvino", "openvino_telemetry") for name in named):
            return True
    return False


def test_a_users_own_setting_turns_nothing_on(monkeypatch):
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    monkeypatch.setenv("MPLCONFIGDIR", "mine")
    telemetry = "openvino_telemetry"
    monkeypatch.delitem(sys.modules, telemetry)
    privacy.stay_private()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0" and os.environ["MPLCONFIGDIR"] == "mine"
    with pytest.raises(ImportError):
        __import__(telemetry)
