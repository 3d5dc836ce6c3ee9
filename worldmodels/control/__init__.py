"""C, the controller: its numbers, and the space in which they are trained.

May import `memory` and what that may.
"""
