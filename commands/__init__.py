"""The commands that a person runs outside the pipeline; the targets of the Makefile call them."""
