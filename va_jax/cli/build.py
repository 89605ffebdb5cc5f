"""Build a data set, or your own videos, from its source material into records.

    va_jax build aff_wild2/112 --manual_dir=DIR --data_dir=data --jobs=8
    va_jax build video_folder --manual_dir=DIR --data_dir=data

Exit code 0: the set is built. 1: it is not. 3: it is built without the recordings whose input is
bad; these are printed, and listed in report.csv with the reason.
"""

from tfds_builders.build import add_arguments, run

__all__ = ["add_arguments", "run"]
