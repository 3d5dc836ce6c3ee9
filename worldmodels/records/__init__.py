"""Records of driving: scenes, their latents, Parquet files, the split for validation.

May import `vision` and what that may.
"""
