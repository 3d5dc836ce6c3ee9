"""The needs of long computations: checkpoints, progress, seeds, workers, compiled code.

May import `pipeline`.
"""
