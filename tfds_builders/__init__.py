"""Builders: each turns the source material of one data set into records that va_jax reads.

A folder for each data set holds its builder. A builder of recorded faces says two things:

    scan(folder) -> [Recording]         which tracks there are and in which files they lie
    read(recording, config) -> Material its pictures, labels, boxes or landmarks, nothing decoded

`recorded.py` does the rest: it cuts face crops from the pictures (`crops.py`), joins the labels to
the frames (`labels.py`) and draws the splits (`splits.py`). Below it, `base.py` builds any set from
clips: `workers.py` runs `parts.py` for many recordings in parallel, `shards.py` joins the parts to
the files of a split, and `metadata.py` writes the track table, the counts and report.csv.

`build.py` is the command that builds a set. `inspect_tree.py` looks at the source material before.
"""
