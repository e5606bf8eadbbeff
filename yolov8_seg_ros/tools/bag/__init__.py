"""Run the pipeline over recordings: bags in, bags out."""
