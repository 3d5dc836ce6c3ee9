"""What every method of training C shares: how long it goes on, and its curve.

May import `driving` and what that may.
"""
