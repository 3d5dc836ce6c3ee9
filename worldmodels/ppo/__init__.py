"""Proximal policy optimisation, whatever C drives in: the actor, the critic and their update.

May import `training` and what that may.
"""
