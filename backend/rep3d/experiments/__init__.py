"""The paper's ablations as commands: same budget, several seeds, resumable, one table and one figure each."""
