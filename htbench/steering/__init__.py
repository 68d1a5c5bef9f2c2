"""The library: concepts, interventions, hooks, and the protocols of models and methods."""
