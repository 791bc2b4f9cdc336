"""MRML layer of Rep3D: volumes and segmentations in and out of Slicer's scene, and the client of the worker process.

Uses ``slicer``, ``vtk``, ``numpy`` and the standard library; never Qt, never torch. Import the module you need:
importing the package itself does nothing.
"""
