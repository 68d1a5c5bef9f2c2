"""A study on a web server of its own: pages of participants, and an overview for the researcher."""
