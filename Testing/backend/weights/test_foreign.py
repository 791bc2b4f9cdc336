"""Import of the authors' checkpoints, in their names and shapes, built here at a small size."""

import os

import pytest
import torch
from rep3d.errors import BadInput, WeightsInvalid
from rep3d.foreign import kernel_reports, read_foreign, translate
from rep3d.networks import create_network
from rep3d.weights import load_weights
from typer.testing import CliRunner


def authors_state(kernel=21):
    """A plain tiny network's tensors under the names of the authors' public code, generator leftovers included."""
    torch.manual_seed(0)
    network = create_network("rep3d-tiny", out_channels=3, reparam="plain", kernel_size=kernel).eval()
    state = {}
    for name, tensor in network.state_dict().items():
        new = name.replace("encoder.stem.", "rep3d.downsample_layers.0.")
        for i in range(3):
            new = new.replace(f"encoder.downsample.{i}.", f"rep3d.downsample_layers.{i + 1}.")
        new = new.replace("encoder.stages.", "rep3d.stages.").replace(".conv.weight", ".dwconv.weight", "stages" in new)
        new = new.replace("encoder.norms.", "rep3d.norm").removeprefix("decoder.")
        state[new] = tensor
    for i in range(4):
        for j in range(2):
            block = f"rep3d.stages.{i}.{j}."
            width = state[block + "dwconv.weight"].shape[0]
            state[block + "prior_map"] = torch.ones(width, 1, kernel, kernel, kernel)
            for conv in ("prior_conv", "prior_conv2"):
                state[block + conv + ".weight"] = torch.randn(1, 1, 7, 7, 7)
                state[block + conv + ".bias"] = torch.zeros(1)
            for norm in ("norm_w", "norm_w2"):
                state[block + norm + ".weight"] = torch.ones(1)
                state[block + norm + ".bias"] = torch.zeros(1)
    return network, state


def test_translated_network_computes_the_same():
    network, state = authors_state()
    twin = translate({"rep3d.norm0.weight": state["rep3d.norm0.weight"], **state}, "x.pth")
    x = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(x), twin(x))


def test_import_command_reports_collapsed_kernels(tmp_path):
    from rep3d.cli import app

    network, state = authors_state()
    collapsed = state["rep3d.stages.2.1.dwconv.weight"]
    centre = torch.zeros_like(collapsed)
    centre[:, :, 10, 10, 10] = 1
    state["rep3d.stages.2.1.dwconv.weight"] = collapsed * 1e-4 + centre
    path, output = tmp_path / "authors.pth", tmp_path / "out.safetensors"
    torch.save({f"module.{n}": t for n, t in state.items()}, path)
    args = ["import", str(path), "--task", "msd-hippocampus", "-o", str(output), "--patch", "32"]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    assert "stage3.block2 have collapsed" in result.output.replace("\n", " ")
    weights = load_weights(output)
    assert weights.meta.patch == (32, 32, 32)
    x = torch.rand(1, 1, 32, 32, 32)
    with torch.no_grad():
        network.encoder.stages[2][1].conv.weight.copy_(state["rep3d.stages.2.1.dwconv.weight"])
        reference = network(x)
        assert (weights.build_network()(x) - reference).abs().max() <= 1e-4 * reference.abs().max()


def test_ct_weights_come_in_with_the_window_of_the_authors_code(tmp_path):
    from rep3d.cli import app

    _, state = authors_state()
    path, output = tmp_path / "authors.pth", tmp_path / "out.safetensors"
    torch.save(state, path)
    args = ["import", str(path), "--task", "msd-pancreas", "-o", str(output), "--patch", "32"]
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 0, result.output
    intensity = load_weights(output).meta.intensity
    assert intensity.clip == (-125.0, 275.0) and intensity.percentiles is None


def test_energy_report_knows_the_answer():
    network, _ = authors_state(kernel=5)
    block = network.encoder.stages[0][0]
    with torch.no_grad():
        block.conv.weight.zero_()
        block.conv.weight[:, 0, 2, 2, 2] = 2.0
        block.conv.weight[:, 0, 2, 2, 3] = 1.0
    report = kernel_reports(network)[0]
    assert report.off_centre == pytest.approx(0.2) and report.beyond_three_taps == 0
    assert not report.collapsed


def test_wrong_classes_foreign_names_and_code_are_refused(tmp_path, monkeypatch):
    from rep3d.cli import app

    _, state = authors_state()
    path, output = tmp_path / "authors.pth", tmp_path / "out.safetensors"
    torch.save(state, path)
    result = CliRunner().invoke(app, ["import", str(path), "--task", "amos-ct", "-o", str(output)])
    assert isinstance(result.exception, BadInput) and "3 classes" in str(result.exception)
    with pytest.raises(WeightsInvalid, match="authors' Rep3D"):
        translate({"conv.weight": torch.zeros(1)}, "x.pth")
    even = {**state, "rep3d.stages.0.0.dwconv.weight": torch.zeros(4, 1, 6, 6, 6)}
    with pytest.raises(WeightsInvalid, match=r"x\.pth has kernels of even size"):
        translate(even, "x.pth")
    with pytest.raises(WeightsInvalid, match="authors' Rep3D"):
        translate({**state, "out.conv.conv.weight": torch.zeros(3)}, "x.pth")
    short = {n: t for n, t in state.items() if "decoder4" not in n}
    with pytest.raises(WeightsInvalid, match="sizes"):
        translate(short, "x.pth")

    class Bomb:
        def __reduce__(self):
            return (os.system, ("touch exploded",))

    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Bomb()}, "bomb.pth")
    with pytest.raises(WeightsInvalid, match=r"bomb\.pth"):
        read_foreign("bomb.pth")
    assert not (tmp_path / "exploded").exists() and not output.exists()
