"""Trained networks as self-describing folders, and as Python functions."""

EXPORT_AGAIN = "write the export again with `va_jax export RUN --out=FOLDER`"
"""Remedy for a damaged or outdated export."""
