"""Bundles: a run as one file that others can unpack, report and verify."""
