"""Sections of the report, one file per section, named as its template."""
