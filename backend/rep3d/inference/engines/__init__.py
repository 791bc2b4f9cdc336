"""What runs a deployed network window by window: PyTorch, or OpenVINO on a processor. See docs/engines.md."""

from __future__ import annotations

from rep3d.inference.engines.choice import ENGINES, Engine, check_engine, choose_engine

__all__ = ["ENGINES", "Engine", "check_engine", "choose_engine"]
