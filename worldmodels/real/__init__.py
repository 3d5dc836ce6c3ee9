"""Learning on the real track: what C does there is what it learns from, by either trainer.

May import `ppo` and `evolution`, and what they may; a module `by_X` its own of the two only.
"""
