"""Training: configuration, batches, the loop on Lightning Fabric, checkpoints, validation and logs."""
