"""Who drives while a record is made: the explorer, random networks, an agent with noise.

May import `driving` and what that may.
"""
