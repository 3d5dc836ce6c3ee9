"""What a frame shows: the track of a seed, the pose of a car, and how both are drawn.

May import `pipeline` and `runtime`.
"""
