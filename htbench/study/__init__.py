"""User studies: pairwise comparison of images by people."""
