"""Evolution strategies, whatever their candidates drive in: CMA-ES and a simple ES.

May import `training` and what that may.
"""
