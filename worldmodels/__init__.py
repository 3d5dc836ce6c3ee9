"""World Models (Ha & Schmidhuber 2018) on CarRacing: what the stages share."""
