"""Trained networks as folders that describe themselves, and as functions in Python."""

EXPORT_AGAIN = "write the export again with `va_jax export RUN --out=FOLDER`"
"""The remedy for a damaged or outdated export."""
