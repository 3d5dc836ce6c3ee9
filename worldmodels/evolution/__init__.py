"""C by an evolution strategy: CMA-ES or the simple ES, and the loop.

May import `training` and what that may.
"""
