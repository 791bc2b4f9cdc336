"""The shipped module in the test host, driven as a person would, with its real worker."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MODULE = Path(__file__).parents[3] / "Rep3DSegmentation" / "Rep3DSegmentation.py"
#: Two threads a worker would fight with those of other tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")


class Panel:
    """Hands and eyes of a person at the panel."""

    def __init__(self, host: Any):
        self.host = host
        self.loaded = host.loaded("Rep3DSegmentation")
        self.history: list[Any] = []  # jobs as they were seen, in order

    @property
    def widget(self) -> Any:
        return self.loaded.widget

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def state(self) -> Any:
        return self.widget.context.state

    @property
    def parameters(self) -> Any:
        return self.widget.context.parameters

    @property
    def message(self) -> str:
        """What stands above Apply, "" when nothing does."""
        return self.ui.messageLabel.text if self.ui.messageFrame.visible else ""

    def enter(self) -> None:
        """Open the module, wait until its worker has told what it offers."""
        import slicer

        slicer.util.mainWindow().show()
        self.host.select_module("Rep3DSegmentation")
        self.host.wait_until(lambda: self.state.catalog is not None and self.state.catalog.hello is not None, 60)

    def volume(self, array_XYZ: np.ndarray, affine: np.ndarray | None = None, name: str = "scan") -> Any:
        """Put a volume into the scene and choose it."""
        import slicer

        affine = np.eye(4) if affine is None else affine
        node = slicer.util.addVolumeFromArray(array_XYZ.transpose(2, 1, 0), ijkToRAS=affine, name=name)
        self.ui.volumeSelector.setCurrentNode(node)
        self.host.process_events()
        return node

    def choose_task(self, key: str) -> None:
        from Rep3DSegmentationWidgets.inputs_panel import task_items

        titles = {value: text for text, value in task_items(self.state.catalog, key)}
        self.host.choose(self.ui.taskSelector, titles[key])

    @property
    def show_3d(self) -> Any:
        """Slicer's own button for surfaces."""
        return self.widget.panels.results.show3DButton

    def options(self) -> None:
        """Open the section Advanced."""
        self.ui.advancedSection.collapsed = False
        self.host.process_events()

    def overlap(self, value: float) -> None:
        self.ui.overlapSlider.value = value
        self.host.process_events()

    def apply(self) -> None:
        self.history.clear()
        assert self.ui.applyButton.enabled, self.ui.applyButton.toolTip
        self.host.click(self.ui.applyButton)

    def wait_job(self, kind: str, fraction: float = -1.0, timeout_s: float = 60) -> None:
        """Until a job of that kind has come at least that far."""
        self._watch(lambda job: job is not None and job.kind == kind and (job.fraction or 0.0) > fraction, timeout_s)

    def wait_idle(self, timeout_s: float = 60) -> None:
        self._watch(lambda job: job is None, timeout_s)

    def run(self) -> None:
        """Apply and wait for the end."""
        self.apply()
        self.wait_idle()

    def _watch(self, condition: Any, timeout_s: float) -> None:
        kind = type(self.state)

        def noted(state: Any, name: str, value: Any) -> None:  # every job, also one that is gone before the next look
            if name == "job" and value is not None:
                self.history.append(value)
            object.__setattr__(state, name, value)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "__setattr__", noted)
            if self.state.job is not None:
                self.history.append(self.state.job)
            self.host.wait_until(lambda: condition(self.state.job), timeout_s)


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory) -> Iterator[Path]:
    """The user's folder of weights, for tests alone, beside an empty list of published ones; before a worker starts."""
    folder = tmp_path_factory.mktemp("user") / "my weights"
    manifest = folder.parent / "manifest.json"
    manifest.write_text('{"version": 1, "weights": []}', encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REP3D_WEIGHTS_DIR", str(folder))
        patch.setenv("REP3D_WEIGHTS_MANIFEST", str(manifest))
        yield folder


@pytest.fixture(scope="session")
def module(started_host, weights_folder) -> Iterator[Any]:
    """The module, loaded once; its worker ends with the session."""
    started_host.publish()
    yield started_host.load_module(MODULE)
    started_host.unload_module("Rep3DSegmentation")


@pytest.fixture
def panel(slicer_host, module, monkeypatch) -> Iterator[Panel]:
    """The panel of an empty scene, with its tasks loaded and nothing running. A run of less than an hour is not long:
    how long one takes depends on what else this machine does."""
    panel = Panel(slicer_host)
    panel.enter()
    from Rep3DSegmentationWidgets import estimating

    monkeypatch.setattr(estimating, "LONG_RUN_S", 3600.0)
    panel.state.message, panel.state.estimate, panel.state.outcomes = None, None, []
    panel.widget.context.refresh()
    yield panel
    panel = Panel(slicer_host)  # a test may have reloaded the module
    if panel.state.job is not None:
        panel.widget.panels.run.cancel()
        panel.widget.panels.batch.cancel()
        end = time.monotonic() + 30
        while panel.state.job is not None and time.monotonic() < end:
            slicer_host.process_events(20)
        raise AssertionError("the test left something running")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real scans."""
    folder = os.environ.get("REP3D_DATA")
    if not folder:
        pytest.skip("set REP3D_DATA to the folder of real scans")
    return Path(folder)


@pytest.fixture(scope="session")
def hippocampus(data) -> Any:
    """A scan that no weights were trained on, as the backend reads it."""
    from rep3d.data.reading import read_volume

    return read_volume(sorted((data / "open/hippocampus/images").glob("*.nii.gz"))[4])


@pytest.fixture(scope="session")
def head_and_neck(data) -> Any:
    """A test case of the head-and-neck set, as the backend reads it."""
    from rep3d.data.reading import read_volume

    return read_volume(sorted((data / "hn/test").glob("*_ct.nii.gz"))[0])


@pytest.fixture(scope="session")
def backend():
    """What the backend itself makes of a volume: backend(volume, task, **options) -> SegmentationResult."""
    from rep3d.inference.pipeline import segment_with_weights
    from rep3d.weights import SHIPPED_FOLDER, load_weights

    def segment(volume: Any, task: str, **options: Any) -> Any:
        weights = load_weights(SHIPPED_FOLDER / f"{task}.safetensors")
        return segment_with_weights(volume, weights, weights.build_network(), device="cpu", **options)

    return segment


@pytest.fixture
def made_up() -> np.ndarray:
    """A small volume with something in it, [X, Y, Z]; enough like the scans of the hippocampus task to be taken."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal((36, 40, 32)), 1.5)
    return np.clip(300 + 100 * smooth / smooth.std(), 0, None).astype(np.int16)
