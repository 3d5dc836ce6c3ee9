"""M, the MDN-RNN: its network and loss, the windows it is trained on, and the step it acts by.

May import `records` and what that may.
"""
