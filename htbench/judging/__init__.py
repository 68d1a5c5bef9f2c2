"""Pairwise comparison of images by models."""
