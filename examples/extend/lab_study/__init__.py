"""An example of a builder: copy this folder to `tfds_builders/`."""
