"""How cars move and which tiles they touch, as Box2D computes it, for many cars at once.

May import `environment.picture` and what that may.
"""
