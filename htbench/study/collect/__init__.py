"""Importing answers: detecting formats, mapping columns, removing identities."""
