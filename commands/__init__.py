"""What a person runs beside the pipeline: the verbs of the Makefile."""
