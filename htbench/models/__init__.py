"""Plug-ins: text-to-image models and the encoders that score their images."""
