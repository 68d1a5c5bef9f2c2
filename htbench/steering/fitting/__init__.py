"""Shared parts of methods: transport maps, end-to-end training, hypernetworks, map banks."""
