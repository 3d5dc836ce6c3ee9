"""The one batch size that networks act with.

A kernel for matrix products may sum in another order for another number of rows, so a row's last
bits would depend on how many rows stand next to it. A score must not depend on who else is in the
batch: whoever acts or encodes pads to a multiple of FIXED_BATCH and runs that many rows at a time.
"""

FIXED_BATCH = 32
