"""The training that V and M share: Adam with a rate along a cosine, and its state.

May import `pipeline` and `runtime`.
"""
