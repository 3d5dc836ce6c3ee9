"""C by proximal policy optimisation: the algorithm, the practice that feeds it, the loop.

May import `training` and what that may.
"""
