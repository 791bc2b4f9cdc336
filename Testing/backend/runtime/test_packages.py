"""What is missing is said before anything is computed or written, with a hint that can be followed."""

from __future__ import annotations

import json
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from rep3d.cli import app
from rep3d.commands.needs import COMMANDS
from rep3d.errors import BadInput
from rep3d.runtime import packages
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[3]
#: Command line -> modules it needs besides the core, each blocked in turn. OUT stands for a name that is not there yet.
RUNS = {
    "demo -o OUT": ["matplotlib"],
    "segment X.nii.gz -o OUT --format dcm": ["highdicom"],
    "segment X.nii.gz -o OUT.dcm": ["highdicom"],
    "segment X.nii.gz -o OUT --engine openvino": ["openvino"],
    "segment X.nii.gz -o OUT --ray local": ["ray"],
    "prepare folder . OUT --task amos": ["filelock"],
    "train --data . --task amos --out OUT": ["monai", "lightning_fabric", "tensorboard"],
    "train --data . --task amos --out OUT --network swinunetr": ["einops"],
    "evaluate --weights X --data . -o OUT": ["monai"],
    "verify X.json": ["monai"],
    "experiment priors --task amos --data . --out OUT": ["monai", "lightning_fabric", "matplotlib"],
    "export X -o OUT.onnx --format onnx": ["onnx", "onnxscript", "onnxruntime"],
    "export X -o OUT --format bundle": ["monai", "nibabel", "ignite", "fire", "jsonschema"],
    "card X --run . --results X --machine m --command c --attribution a --failure f": ["matplotlib"],
    "compare X Y -o OUT": ["matplotlib"],
    "masks X -o OUT": ["matplotlib"],
    "masks X Y -o OUT --no-figures": ["matplotlib"],
    "erf X -o OUT": ["matplotlib"],
    "report X -o OUT.html": ["matplotlib"],
}


@pytest.mark.parametrize(("line", "module"), [(line, module) for line, modules in RUNS.items() for module in modules])
def test_a_missing_package_is_told_before_anything_is_written(line, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, line.split())
    assert isinstance(done.exception, BadInput), (done.output, done.exception)
    package = {"lightning_fabric": "lightning-fabric", "ignite": "pytorch-ignite"}.get(module, module)
    assert package in str(done.exception) and "not installed" in str(done.exception)
    assert "pip install" in done.exception.hint and str(ROOT / "backend") in done.exception.hint
    assert list(tmp_path.iterdir()) == []


def test_every_purpose_is_tried_above():
    tried = {module for modules in RUNS.values() for module in modules}
    modules = {packages.MODULES.get(name, name) for item in packages.PURPOSES.values() for name in item.packages}
    assert tried == modules
    assert {line.split()[0] for line in RUNS} == set(COMMANDS)


def test_what_is_not_asked_for_is_not_needed(tmp_path, monkeypatch):
    for module in {module for modules in RUNS.values() for module in modules}:
        monkeypatch.setitem(sys.modules, module, None)
    runner = CliRunner()
    for line in ("tasks", "weights list", "experiment list", "train --help", "models uxnet --params"):
        done = runner.invoke(app, line.split())
        assert done.exit_code == 0, (line, done.exception)
    rows = runner.invoke(app, ["models", "unetr", "nnunet", "--params"]).output
    assert "unetr is not counted" in rows and "nnunet is not counted" in rows and "monai" in rows
    missing = tmp_path / "missing.nii.gz"
    with pytest.raises(BadInput, match="no such file"):
        runner.invoke(app, ["segment", str(missing), "-o", str(tmp_path / "out")], catch_exceptions=False)


def test_packages_and_extras_are_those_of_the_project():
    text = (ROOT / "backend" / "pyproject.toml").read_text(encoding="utf-8")
    for purpose in packages.PURPOSES.values():
        block = re.search(rf"^{purpose.extra} = \[(.*?)\](?:  #.*)?$", text, re.MULTILINE | re.DOTALL).group(1)
        assert set(purpose.packages) <= set(re.findall(r'"([\w.-]+)[><=]', block)), purpose


class Installed:
    """Metadata of an installed package, as pip writes it."""

    def __init__(self, direct_url: dict | None, place: Path = packages.PACKAGE.parent):
        self.direct_url, self.place = direct_url, place

    def read_text(self, name: str) -> str | None:
        return json.dumps(self.direct_url) if self.direct_url else None

    def locate_file(self, name: str) -> Path:
        return self.place / name


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """The package without its sources beside it, installed as a test says."""

    def install(direct_url: dict | None, place: Path | None = None) -> None:
        monkeypatch.setattr(packages, "PACKAGE", tmp_path / "site-packages" / "rep3d")
        found = Installed(direct_url, place or tmp_path / "site-packages")
        monkeypatch.setattr(metadata, "distribution", lambda name: found)

    return install


def test_a_hint_names_the_sources_that_it_runs_from():
    assert packages.install_hint("train") == f'Install it: pip install "{ROOT / "backend"}[train]"'


def test_a_hint_names_the_wheel_that_was_installed(installed, tmp_path):
    wheel = tmp_path / "a folder é" / "rep3d-0.1.0-py3-none-any.whl"
    installed({"url": wheel.as_uri(), "archive_info": {}})
    assert packages.installed_from() is None  # gone meanwhile
    wheel.parent.mkdir()
    wheel.touch()
    assert packages.install_hint("figures") == f'Install it: pip install "{wheel}[figures]"'


def test_a_hint_names_the_repository_that_was_installed(installed):
    origin = {"url": "https://example.org/r.git", "subdirectory": "backend"}
    installed(origin | {"vcs_info": {"vcs": "git", "commit_id": "abc"}})
    assert packages.install_hint("ray") == (
        'Install it: pip install "rep3d[ray] @ git+https://example.org/r.git@abc#subdirectory=backend"'
    )
    installed({"url": "https://example.org/rep3d-0.1.0-py3-none-any.whl", "archive_info": {}})
    assert '"rep3d[ray] @ https://example.org/rep3d-0.1.0-py3-none-any.whl"' in packages.install_hint("ray")


@pytest.mark.parametrize("other_copy", [False, True])
def test_a_hint_without_a_source_names_the_repository_and_the_packages(installed, tmp_path, other_copy):
    """From an index, or a copy that runs without being installed while another is."""
    installed({"url": tmp_path.as_uri()} if other_copy else None, tmp_path / "elsewhere" if other_copy else None)
    hint = packages.install_hint("dicom", ("highdicom",))
    assert "folder backend/ of the Rep3D repository" in hint and "pip install highdicom" in hint


def test_nothing_of_the_project_names_an_unregistered_package():
    """`pip install rep3d` and `rep3d[extra]` would ask an index, where anybody may register the name."""
    folders = ("backend/rep3d", "docs", "Rep3DSegmentation", "SegmentEditorRep3D", "Testing", "benchmarks", "scripts")
    files = [ROOT / "README.md", ROOT / "Makefile"]
    for folder in folders:
        files += [path for kind in ("*.py", "*.md", "*.yaml", "*.ui") for path in (ROOT / folder).rglob(kind)]
    asking = re.compile(r"""pip3? (?:install|download)[^\n`]*?[\s'"]rep3d(?:\[|[\s'"`,]|$)""")
    found = [f"{path.relative_to(ROOT)}: {line}" for path in files if path != Path(__file__)
             for line in asking.findall(path.read_text(encoding="utf-8"))]  # fmt: skip
    assert not found, "\n".join(found)
