"""Plug-ins: steering methods, one file per method."""
