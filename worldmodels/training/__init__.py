"""What every method of training C shares: what C is trained in, the budget, the candidates that
are driven, and what is written in the end.

May import `driving` and what that may.
"""
