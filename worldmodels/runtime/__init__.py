"""What long computations need: checkpoints, progress, seeds, workers, compiled code.

May import `pipeline`.
"""
