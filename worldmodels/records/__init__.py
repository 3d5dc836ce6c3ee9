"""What was driven: scenes, their latents, Parquet files, which episodes are held out.

May import `vision` and what that may.
"""
