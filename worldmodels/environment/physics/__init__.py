"""The motion of many cars at once and the tiles that they touch, as Box2D computes them.

May import `environment.picture` and what that may.
"""
