# Slicer packages with CPack what `install` put into these components; the test installs the same ones.
set(CPACK_COMPONENTS_ALL RuntimeLibraries)
