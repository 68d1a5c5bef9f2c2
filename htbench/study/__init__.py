"""People: from a blinded page to a pooled result."""
