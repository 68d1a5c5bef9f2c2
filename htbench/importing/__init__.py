"""Pictures that another program made become a run: tables, folders, and models behind an API."""
