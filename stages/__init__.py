"""One script a stage of dvc.yaml, run as `python -m stages.NAME ROUND` from the root."""
