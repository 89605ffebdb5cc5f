"""Builders: each turns the source material of one data set into records that va_jax reads.

Every data set has a folder with its builder. A builder for recorded faces defines two functions:

    scan(folder) -> [Recording]         list the tracks and the files they consist of
    read(recording, config) -> Material return images, labels, boxes or landmarks, not yet decoded

`recorded.py` does the rest: it cuts face crops from the images (`crops.py`), joins the labels to
the frames (`labels.py`) and draws the splits (`splits.py`). Below it, `base.py` builds any set from
clips: `workers.py` runs `parts.py` for many recordings in parallel, `shards.py` combines the parts
into the files of a split, `metadata.py` writes the track table, the counts and report.csv, and
`croissant.py` describes the built set for other programs.

`build.py` is the command that builds a set. `inspect_tree.py` checks the source material first.
"""
