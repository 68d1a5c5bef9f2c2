"""Plug-ins: text-to-image models and the encoders that read their images."""
