"""C, the controller: its parameters, and the space in which they are trained.

May import `environment` and what that may.
"""
