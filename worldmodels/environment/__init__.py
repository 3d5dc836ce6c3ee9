"""CarRacing: Gymnasium's environment with our picture, one at a time and in batches.

`interface` lists the modules through which the rest of the code knows it; `picture` draws, and
`physics` moves. May import `pipeline` and `runtime`.
"""
