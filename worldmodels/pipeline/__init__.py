"""The basis of every stage: params.yaml, files, errors, the machine, where a result came from.

May import no other package of worldmodels.
"""
