"""Where jobs run: in processes of this machine, or on a Dask cluster.

May import `policies`, `driving` and what they may.
"""
