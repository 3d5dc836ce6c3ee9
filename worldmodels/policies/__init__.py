"""The policies that drive for a record: the explorer, random networks, an agent with noise.

May import `driving` and what that may.
"""
