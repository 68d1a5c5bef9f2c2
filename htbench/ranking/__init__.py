"""Rankings from pairwise votes, of judges or of people: `Votes.collect`, then `fit` for ratings alone or `rank` for a leaderboard."""
