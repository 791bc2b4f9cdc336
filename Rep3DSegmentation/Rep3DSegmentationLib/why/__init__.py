"""Why the network saw what it saw, as nodes of the scene: masks and kernels, and effective receptive fields (ERF).

folder: one subject-hierarchy folder beside the scan that holds all of it, and is removed with all of it. runs: asking
the worker. masks, profile, rendering, layout: masks and kernels. erf, surfaces, overlay: the receptive field of a voxel
in the patient. points: where the user points at.
"""
