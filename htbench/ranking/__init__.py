"""Rankings from pairwise votes, of judges or of people: `votes.Votes.collect`, then `rating.fit` for ratings alone or `standing.rank` for a leaderboard."""
