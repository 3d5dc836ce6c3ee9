"""What people look at: pictures, figures, videos, statistics, result files, the paper's numbers.

May import `driving` and what that may.
"""
