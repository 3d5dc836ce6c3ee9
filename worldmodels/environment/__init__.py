"""CarRacing: Gymnasium's environment with our picture, one at a time and in batches.

May import `pipeline` and `runtime`. `picture` draws, `physics` moves.
"""
