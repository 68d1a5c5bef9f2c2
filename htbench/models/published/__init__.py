"""Published few-step generators, through diffusers."""
