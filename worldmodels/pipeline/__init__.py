"""What every stage runs on: params.yaml, files, errors, where a result came from.

May import no other package of worldmodels.
"""
