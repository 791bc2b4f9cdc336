"""A test host for scripted modules of 3D Slicer: Slicer's own C++ core from ``slicer-core``, without the desktop."""
