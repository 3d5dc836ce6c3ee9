"""The motion of the cars and the tiles they touch, as Box2D computes them, for many cars at once.

May import `environment.picture` and what that may.
"""
