"""Click-to-segment without Qt: which voxel was clicked, which structure is there, and its mask for the segment editor.

Uses ``slicer``, ``vtk``, ``numpy`` and the standard library, like the rest of the MRML layer.
"""
