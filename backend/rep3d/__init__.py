"""Rep3D: large-kernel 3D segmentation with low-rank receptive modelling. Research software, not a medical device."""

__version__ = "0.1.0"
