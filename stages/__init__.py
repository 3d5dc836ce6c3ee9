"""One script per stage of dvc.yaml, run as `python -m stages.NAME ROUND` from the root.

The stage train_controller has one for each method of training C.
"""
