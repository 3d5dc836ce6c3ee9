"""Learning on the real track: what C does there is what it learns from, by either trainer.

May import `ppo` and `evolution`, and what they may; of these two, a module `by_X` imports X only.
"""
