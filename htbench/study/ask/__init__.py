"""Exporting a study: assignment, the blinded page, other platforms."""
