"""Build records from the source material of a data set, or from your own videos.

    va_jax build aff_wild2/112 --manual_dir=DIR --data_dir=data --jobs=8
    va_jax build video_folder --manual_dir=DIR --data_dir=data

Exit code 0: the data set was built. 1: it was not. 3: it was built without recordings whose input
is bad; these recordings are printed, and listed in report.csv together with the reason.
"""

from tfds_builders.build import add_arguments, run

__all__ = ["add_arguments", "run"]
