"""V, M and C in one file and one batched step.

May import `control`, `memory` and what they may.
"""
