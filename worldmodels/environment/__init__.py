"""CarRacing, drawn straight at the size the agent sees."""
