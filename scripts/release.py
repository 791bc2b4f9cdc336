"""Make what would be published, in dist/, and check it: a snapshot without history, sdist and wheel, the extension.

    make release

dist/snapshot    one commit with the files of HEAD, to be pushed as the repository that the Extensions Index clones
dist/*.tar.gz    the package rep3d as sources, and dist/*.whl built from them
dist/extension   the extension as CMake installs it, for Slicer's Additional module paths
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import index_checks

ROOT = Path(__file__).resolve().parents[1]
AUTHOR = "The Rep3D developers"
STAND_IN = "Testing/packaging/slicer_stand_in"


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run a command; its output. Raises CalledProcessError, having printed what it said."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
        done.check_returncode()
    return done.stdout


def tracked(repository: Path) -> list[str]:
    """Files of the last commit."""
    listed = run("git", "ls-tree", "-r", "-z", "--name-only", "HEAD", cwd=repository)
    return [name for name in listed.split("\0") if name]


def make_snapshot(repository: Path, folder: Path, message: str) -> Path:
    """A new repository at ``folder`` whose one commit, on the branch main, has the files of the last commit."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        archive = Path(temporary) / "files.tar"
        run("git", "archive", "--format=tar", f"--output={archive}", "HEAD", cwd=repository)
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
    when = run("git", "log", "-1", "--format=%cI", cwd=repository).strip()
    who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in
           (("NAME", AUTHOR), ("EMAIL", "rep3d@example.invalid"), ("DATE", when))}  # fmt: skip
    run("git", "init", "--quiet", "--initial-branch=main", cwd=folder)
    run("git", "add", "--all", "--force", cwd=folder)
    run("git", "commit", "--quiet", "--message", message, cwd=folder, **who)
    run("git", "gc", "--quiet", cwd=folder)
    return folder


def build_package(project: Path, out: Path) -> tuple[Path, Path]:
    """The sdist of a Python project, and the wheel that is built from it; in this Python, without a network."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, project)
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def package_problems(sdist: Path, wheel: Path, modules: Iterable[str]) -> list[str]:
    """What sdist or wheel lacks: files of the package, licence, read-me, addresses, the mark of typed code."""
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        metadata = next(archive.read(name).decode() for name in inside if name.endswith(".dist-info/METADATA"))
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    problems = [f"{wheel.name} lacks {name}" for name in modules if name not in inside]
    problems += [f"{sdist.name} lacks {name}" for name in (*modules, "LICENSE", "README.md") if name not in sources]
    if not any(name.endswith("/licenses/LICENSE") for name in inside):
        problems.append(f"{wheel.name} lacks the licence")
    header, _, text = metadata.partition("\n\n")
    problems += [f"{wheel.name}: no {key}" for key in ("Project-URL: ", "License-Expression: ") if key not in header]
    if not text.strip():
        problems.append(f"{wheel.name}: no read-me")
    if not any(name.endswith("/py.typed") for name in inside):
        problems.append(f"{wheel.name} lacks py.typed")
    return problems


def install_extension(source: Path, out: Path) -> Path:
    """Configure, build and install the extension with the stand-in for Slicer's CMake package."""
    import cmake

    command = shutil.which("cmake", path=cmake.CMAKE_BIN_DIR)
    stand_in = source / STAND_IN
    with tempfile.TemporaryDirectory() as build:
        options = [f"-DSlicer_DIR={stand_in}", f"-DCMAKE_TOOLCHAIN_FILE={stand_in / 'toolchain.cmake'}"]
        run(command, "-S", source, "-B", build, *options)
        run(command, "--build", build)
        run(command, "--install", build, "--prefix", out, "--component", "RuntimeLibraries")
    return out


def release(repository: Path, out: Path) -> bool:
    """Everything, into a folder that is made anew. Whether all checks hold."""
    if changed := run("git", "status", "--porcelain", "--untracked-files=no", cwd=repository).strip():
        print(f"not committed, so not in the release:\n{changed}", file=sys.stderr)
    shutil.rmtree(out, ignore_errors=True)
    version = package_version(repository)
    snapshot = make_snapshot(repository, out / "snapshot", f"Rep3D {version}")
    sdist, wheel = build_package(snapshot / "backend", out)
    run("git", "clean", "--quiet", "--force", "-d", "-x", cwd=snapshot)  # what the build left there
    install_extension(snapshot, out / "extension")
    modules = [name.removeprefix("backend/") for name in tracked(snapshot) if name.startswith("backend/rep3d/")]
    problems = package_problems(sdist, wheel, modules)
    for path in (sdist, wheel):
        print(f"{path}: {path.stat().st_size / 2**20:.1f} MB")
    for problem in problems:
        print(f"FAILS package: {problem}")
    with tempfile.TemporaryDirectory() as folder:
        cloned = index_checks.clone(snapshot, Path(folder) / "clone")
        total = sum(path.stat().st_size for path in cloned.rglob("*") if path.is_file()) / 2**20
        print(f"a full clone: {total:.1f} MB with .git, {len(modules)} files of the package")
        fine = index_checks.report(cloned)
    return fine and not problems


def package_version(repository: Path) -> str:
    """The version, from its one place."""
    text = (repository / "backend" / "rep3d" / "__init__.py").read_text(encoding="utf-8")
    return text.partition('__version__ = "')[2].partition('"')[0]


def main() -> int:
    parser = argparse.ArgumentParser(description="Make and check what would be published.")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder, made anew [default: dist]")
    return 0 if release(ROOT, parser.parse_args().out.resolve()) else 1


if __name__ == "__main__":
    sys.exit(main())
