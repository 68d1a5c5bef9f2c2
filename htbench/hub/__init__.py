"""Repositories of a model hub: bundles and trained files are pushed there and pulled again."""
