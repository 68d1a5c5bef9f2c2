"""A run: plan, fit, generate, score, into a store."""
