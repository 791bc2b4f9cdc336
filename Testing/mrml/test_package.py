"""The package as a whole: what importing it costs, texts, terminology of all tasks, the application's one worker."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import slicer
from Rep3DSegmentationLib import i18n, session, terminology
from Rep3DSegmentationLib.backend_location import backend_folder
from Rep3DSegmentationLib.errors import InputError, WorkerError
from Rep3DSegmentationLib.run import SegmentOptions

MODULE_FOLDER = Path(__file__).resolve().parents[2] / "Rep3DSegmentation"


def python(code: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(MODULE_FOLDER)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_layer_imports_no_torch_and_no_qt():
    """benchmarks/startup.py measures how long it takes."""
    code = (
        "import sys, pkgutil, importlib\n"
        "import Rep3DSegmentationLib.logic\n"
        "first = {'rep3d.errors'} & set(sys.modules)\n"
        "for module in pkgutil.walk_packages(Rep3DSegmentationLib.__path__, 'Rep3DSegmentationLib.'):\n"
        "    importlib.import_module(module.name)\n"
        "heavy = {'torch', 'monai', 'scipy', 'SimpleITK', 'PyQt5', 'qt', 'ctk', 'yaml', 'typer'} & set(sys.modules)\n"
        "print(sorted(first | heavy))\n"
    )
    assert python(code).strip() == "[]"


def test_client_needs_neither_slicer_nor_numpy():
    code = (
        "import sys\n"
        "import Rep3DSegmentationLib.client, Rep3DSegmentationLib.session\n"
        "print(sorted({'slicer', 'vtk', 'numpy', 'torch'} & set(sys.modules)))\n"
    )
    assert python(code).strip() == "[]"


def test_backend_is_found_in_an_installed_extension_and_in_a_checkout(tmp_path, monkeypatch):
    from Rep3DSegmentationLib import backend_location

    monkeypatch.delenv("REP3D_BACKEND", raising=False)
    assert backend_folder() == MODULE_FOLDER.parent / "backend"
    installed = tmp_path / "Slicer äö 5.12" / "qt-scripted-modules"
    package = installed / "Rep3DSegmentationLib"
    package.mkdir(parents=True)
    monkeypatch.setattr(backend_location, "__file__", str(package / "backend_location.py"))
    with pytest.raises(WorkerError) as error:
        backend_folder()
    assert error.value.code == "worker_unavailable" and "Rep3DBackend" in error.value.message
    (installed / "Rep3DBackend" / "rep3d").mkdir(parents=True)
    (installed / "Rep3DBackend" / "rep3d" / "__init__.py").touch()
    assert backend_folder() == installed.resolve() / "Rep3DBackend"
    assert backend_folder({"REP3D_BACKEND": str(MODULE_FOLDER.parent / "backend")}) == MODULE_FOLDER.parent / "backend"


def test_texts_are_translated_in_the_context_of_their_file(monkeypatch):
    assert i18n._("Run again.") == "Run again."
    module = types.ModuleType("slicer.i18n")
    module.getContext = lambda path: f"{Path(path).parent.name}.{Path(path).stem}"
    module.translate = lambda context, text: f"{context}|{text}"
    monkeypatch.setitem(sys.modules, "slicer.i18n", module)
    with pytest.raises(InputError) as error:
        SegmentOptions().params()
    assert error.value.message == "Rep3DSegmentationLib.run|No task is chosen."


def test_terminology_of_every_task_is_read_back_and_is_that_of_the_files(core):
    from rep3d.inference import nrrd_writer
    from rep3d.tasks import list_tasks, load_task

    logic, count = core.logics["terminologies"], 0
    for task in list_tasks():
        for label in (load_task(task) if isinstance(task, str) else task).labels:
            text = terminology.entry(label.to_dict())
            assert text == nrrd_writer.terminology(label)
            entry = slicer.vtkSlicerTerminologyEntry()
            assert logic.DeserializeTerminologyEntry(text, entry)
            parts = [entry.GetCategoryObject(), entry.GetTypeObject(), entry.GetTypeModifierObject()]
            for part, code in zip(parts, (label.category, label.type, label.modifier)):
                read = [part.GetCodeValue(), part.GetCodingSchemeDesignator(), part.GetCodeMeaning()]
                assert read == (code.to_list() if code else [None] * 3) or (not code and not any(read))
            count += 1
    assert count > 20


def test_signs_that_separate_codes_cannot_break_an_entry():
    label = {"category": ["1", "S~X", "a^b"], "type": ["2", "SCT", "c|d"], "modifier": None}
    assert terminology.entry(label).split("~")[1:4] == ["S-X^1^a-b", "SCT^2^c-d", "^^"]


def test_one_client_for_the_application():
    first = session.get_client()
    assert session.get_client() is first and not first.is_running()
    assert first.call("ping", timeout_s=60) == {}
    session.close_client()
    assert not first.is_running()
    second = session.get_client()
    assert second is not first
    session.close_client()
    session.close_client()


def test_paths_are_made_absolute_for_the_worker(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert SegmentOptions(weights="w.safetensors").params()["weights"] == str(tmp_path / "w.safetensors")
    home = SegmentOptions(weights=os.path.join("~", "w.safetensors")).params()["weights"]
    assert os.path.isabs(home) and "~" not in home
