"""Scores of images: the leaderboard's, from embeddings, and plug-ins for any other."""
