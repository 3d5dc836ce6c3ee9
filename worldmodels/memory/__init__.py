"""M, the MDN-RNN: its network and loss, and the windows of latents it is trained on.

May import `records` and what that may.
"""
