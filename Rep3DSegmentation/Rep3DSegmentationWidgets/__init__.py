"""Qt panels of the Rep3D Segmentation module. Each reads the shared state and shows it; none of them computes."""
