"""C by an evolution strategy: the strategies, CMA-ES and a simple ES, and the loop.

May import `training` and what that may.
"""
