"""DICOM series in: which frames belong together, where each lies, and what its values are."""
