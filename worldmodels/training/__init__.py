"""The common ground of all methods of training C: the world it is trained in, the budget, the
candidates that are driven, and the files that are written at the end.

May import `workers` and what that may.
"""
