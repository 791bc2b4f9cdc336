"""The machine that Rep3D runs on: its folders, and what other libraries may do there."""
