"""Where jobs run: in processes of this machine, or on a Dask cluster.

May import `driving` and what that may.
"""
