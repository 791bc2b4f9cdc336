"""From a cohort's fingerprint to a task: spacing, intensity, patch, network and batch size within a memory budget."""

from rep3d.planning.memory import parse_memory, training_bytes
from rep3d.planning.plan import Plan, plan

__all__ = ["Plan", "parse_memory", "plan", "training_bytes"]
