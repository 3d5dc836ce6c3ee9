"""What long computations need: checkpoints, progress, seeds, workers, compiled code, Adam.

May import `pipeline`.
"""
