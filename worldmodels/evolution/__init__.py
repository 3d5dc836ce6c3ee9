"""C by an evolution strategy: CMA-ES or the simple ES, the candidates, the loop.

May import `training` and what that may.
"""
