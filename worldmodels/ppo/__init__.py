"""C by proximal policy optimisation: the algorithm, the practice it learns from, the loop.

May import `training` and what that may.
"""
