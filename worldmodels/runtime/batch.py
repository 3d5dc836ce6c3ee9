"""The one batch size that networks act with.

A kernel for matrix products may sum in another order for another number of rows, so the last bits
of a row would depend on how many others are in its batch. A score must not: whatever acts or
encodes pads its rows to a multiple of FIXED_BATCH and computes that many at a time.
"""

FIXED_BATCH = 32
