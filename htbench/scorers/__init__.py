"""Plug-ins that score images."""
