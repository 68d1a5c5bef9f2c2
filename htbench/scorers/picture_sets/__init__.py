"""Scores of sets of pictures: diversity, and distances between steered and unsteered pictures."""
