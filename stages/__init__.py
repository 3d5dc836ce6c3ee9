"""The stages of dvc.yaml, run from the root as `python -m stages.NAME`, with a world or a round.

The stage train_controller has a script for each trainer of C in each place where C learns.
"""
