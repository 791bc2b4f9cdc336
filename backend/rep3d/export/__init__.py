"""Deployed networks for other programs: ONNX, torch.export, TorchScript, MONAI bundles."""
