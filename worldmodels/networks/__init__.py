"""What training V and training M have in common: Adam along a cosine, and its state.

May import `pipeline` and `runtime`.
"""
