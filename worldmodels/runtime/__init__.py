"""The needs of long computations: checkpoints, progress, seeds, compiled code.

May import `pipeline`.
"""
