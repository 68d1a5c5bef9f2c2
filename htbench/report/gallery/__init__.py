"""The gallery of a report: its grid and its packed pictures."""
