"""The picture: the track of a seed, the pose of a car, and the drawing of both.

May import `pipeline` and `runtime`.
"""
