"""Trained networks as self-describing folders, and as Python functions."""
