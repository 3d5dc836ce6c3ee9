"""M, the MDN-RNN: its network and loss, the windows it is trained on, and its step when acting.

May import `records` and what that may.
"""
