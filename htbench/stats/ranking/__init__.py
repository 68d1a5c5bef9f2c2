"""From votes to a leaderboard: Bradley-Terry ratings, their bootstrap, tiers and ranks."""
