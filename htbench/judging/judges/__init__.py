"""Plug-ins: judges that compare two images."""
