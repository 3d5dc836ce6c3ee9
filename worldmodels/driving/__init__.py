"""Many episodes side by side: the loop, and the jobs that workers run.

May import `agent` and what that may.
"""
