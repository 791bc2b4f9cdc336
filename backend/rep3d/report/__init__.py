"""A report on a run or a weights file: one HTML file with curves, results, masks, receptive fields, timings."""
