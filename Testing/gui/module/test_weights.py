"""The weights manager: what is listed, importing with a look before, refusing what is broken, removing."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[3] / "backend" / "rep3d" / "shipped"


@pytest.fixture
def manager(panel, weights_folder):
    """The panel with an empty weights folder, the section open."""
    shutil.rmtree(weights_folder, ignore_errors=True)
    reload(panel)
    panel.options()
    panel.ui.weightsSection.collapsed = False
    panel.host.process_events()
    yield panel
    shutil.rmtree(weights_folder, ignore_errors=True)
    publish(weights_folder, [])
    reload(panel)


def publish(weights_folder: Path, weights: list[dict]) -> None:
    """Write the list of published weights that the worker reads."""
    document = json.dumps({"version": 1, "weights": weights})
    (weights_folder.parent / "manifest.json").write_text(document, encoding="utf-8")


def reload(panel) -> None:
    panel.widget.panels.load_catalog()
    panel.host.wait_until(lambda: not panel.state.loading, 60)


def rows(panel) -> list[tuple[str, ...]]:
    table = panel.ui.weightsTable
    return [tuple(table.item(row, column).text() for column in range(4)) for row in range(table.rowCount)]


def select(panel, row: int) -> None:
    panel.ui.weightsTable.selectRow(row)
    panel.host.process_events()


def choose_file(panel, path: Path) -> None:
    panel.host.dialogs.answer(str(path))
    panel.host.click(panel.ui.importButton)
    panel.wait_idle()


def test_shipped_weights_are_listed_with_what_is_known_and_cannot_be_removed(manager):
    assert [row[:3] for row in rows(manager)] == [
        (key, f"{key}.safetensors", "shipped") for key in ("msd-hippocampus", "openkbp", "phantom-abdomen")
    ]
    assert not manager.ui.removeButton.enabled and not manager.ui.downloadButton.enabled
    select(manager, 1)
    details = manager.ui.weightsDetails.toPlainText()
    digest = hashlib.sha256((SHIPPED / "openkbp.safetensors").read_bytes()).hexdigest()
    assert digest in details and "Head-and-neck" in details and "Licence" in details
    assert not manager.ui.removeButton.enabled


def test_a_file_is_shown_before_it_is_installed_then_used_then_removed(manager, tmp_path, weights_folder):
    source = tmp_path / "größe 1.safetensors"
    shutil.copyfile(SHIPPED / "msd-hippocampus.safetensors", source)
    folder = weights_folder
    choose_file(manager, source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert manager.ui.importFrame.visible and digest in manager.ui.importDetails.toPlainText()
    assert "Hippocampus on MR" in manager.ui.importDetails.toPlainText()
    assert not folder.exists() or not list(folder.iterdir()), "nothing is installed before Install is pressed"
    manager.host.click(manager.ui.importDiscardButton)
    assert not manager.ui.importFrame.visible

    choose_file(manager, source)
    manager.host.click(manager.ui.importInstallButton)
    manager.host.wait_until(lambda: manager.state.job is None and not manager.state.loading, 60)
    assert "Weights installed" in manager.message
    installed = folder / "msd-hippocampus.safetensors"
    assert hashlib.sha256(installed.read_bytes()).hexdigest() == digest
    assert ("msd-hippocampus", "msd-hippocampus.safetensors", "yours") in [row[:3] for row in rows(manager)]
    manager.choose_task("msd-hippocampus")
    assert "msd-hippocampus.safetensors (yours)" in [
        manager.ui.weightsSelector.itemText(i) for i in range(manager.ui.weightsSelector.count)
    ]

    select(manager, [row[2] for row in rows(manager)].index("yours"))
    manager.host.dialogs.answer("Cancel", text=str(installed))
    manager.host.click(manager.ui.removeButton)
    assert installed.exists()
    manager.host.dialogs.answer("OK", text=str(installed))
    manager.host.click(manager.ui.removeButton)
    manager.host.wait_until(lambda: manager.state.job is None and not manager.state.loading, 60)
    assert not installed.exists() and "yours" not in [row[2] for row in rows(manager)]


def test_other_weights_for_a_task_are_only_replaced_after_a_question(manager, weights_folder):
    folder = weights_folder
    folder.mkdir(parents=True)
    (folder / "openkbp.safetensors").write_bytes(b"an older file")
    reload(manager)
    assert ("", "openkbp.safetensors", "damaged") in [row[:3] for row in rows(manager)]
    choose_file(manager, SHIPPED / "openkbp.safetensors")
    manager.host.dialogs.answer("Cancel", text="Replace")
    manager.host.click(manager.ui.importInstallButton)
    assert (folder / "openkbp.safetensors").read_bytes() == b"an older file"
    manager.host.dialogs.answer("OK", text="Replace")
    manager.host.click(manager.ui.importInstallButton)
    manager.host.wait_until(lambda: manager.state.job is None and not manager.state.loading, 60)
    assert (folder / "openkbp.safetensors").read_bytes() == (SHIPPED / "openkbp.safetensors").read_bytes()


@pytest.mark.parametrize("damage", ["cut", "changed", "pickle"])
def test_a_broken_file_is_refused_by_name_and_nothing_is_installed(manager, tmp_path, weights_folder, damage):
    content = bytearray((SHIPPED / "msd-hippocampus.safetensors").read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "changed":
        content[-1000] ^= 0xFF
    else:
        content = bytearray(b"\x80\x04\x95" + bytes(64))
    source = tmp_path / "broken.safetensors"
    source.write_bytes(bytes(content))
    choose_file(manager, source)
    assert "broken.safetensors" in manager.message and not manager.ui.importFrame.visible
    assert not list(weights_folder.glob("*"))
    assert manager.ui.importButton.enabled


@pytest.fixture
def published(tmp_path):
    """Weights that are not installed, behind HTTP on this computer: (file, its address)."""
    from rep3d.weights import load_weights, save_weights

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments) -> None:
            pass

    shipped = load_weights(SHIPPED / "msd-hippocampus.safetensors")
    path = tmp_path / "web" / "second.safetensors"
    path.parent.mkdir()
    save_weights(path, shipped.tensors, dataclasses.replace(shipped.meta, id="hippocampus-2"))
    handler = functools.partial(Quiet, directory=str(path.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield path, f"http://127.0.0.1:{running.server_address[1]}/{path.name}"
        running.shutdown()


@pytest.mark.parametrize("intact", [True, False])
def test_published_weights_are_downloaded_and_verified(manager, weights_folder, published, intact):
    path, url = published
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if intact else "0" * 64
    entry = {"id": "hippocampus-2", "task": "msd-hippocampus", "url": url, "sha256": digest}
    entry |= {"bytes": path.stat().st_size, "licence": "CC-BY-SA 4.0", "description": "A second training"}
    publish(weights_folder, [entry])
    reload(manager)
    select(manager, [row[2] for row in rows(manager)].index("published"))
    details = manager.ui.weightsDetails.toPlainText()
    assert "A second training" in details and url in details and not manager.ui.removeButton.enabled
    manager.host.click(manager.ui.downloadButton)
    assert manager.ui.downloadButton.text == "Cancel download" and manager.ui.weightsProgressBar.visible
    assert manager.ui.applyButton.toolTip == "<p>Weights are being checked or copied.</p>"
    manager.host.wait_until(lambda: manager.state.job is None and not manager.state.loading, 60)
    listed = [row[2] for row in rows(manager)]
    if intact:
        assert "Weights installed" in manager.message and "yours" in listed and "published" not in listed
        assert [hashlib.sha256(file.read_bytes()).hexdigest() for file in weights_folder.glob("*.safetensors")] == [
            digest
        ]
    else:
        assert "checksum" in manager.message.lower() or "sha-256" in manager.message.lower(), manager.message
        assert not list(weights_folder.glob("*.safetensors")) and "published" in listed
