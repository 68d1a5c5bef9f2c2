"""Shared parts of methods: transport maps, end-to-end fitting, hypernetworks, stored maps."""
