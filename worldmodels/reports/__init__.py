"""Reports for people: result files, statistics, figures, videos, the paper's numbers.

May import `agent` and what that may; no training stage imports it.
"""
