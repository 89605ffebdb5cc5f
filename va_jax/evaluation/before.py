"""The scores of a network before it is fine-tuned on one subject, to compare in the report."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax

from va_jax.config import Config
from va_jax.data import splits
from va_jax.evaluation import fitting, score_table
from va_jax.evaluation.predict_split import predict_split
from va_jax.evaluation.predictors import SplitPredictor
from va_jax.io import read_json, write_json
from va_jax.models.build import landmark_points
from va_jax.types import InputError

NAME = "before.json"


def write(
    folder: pathlib.Path,
    config: Config,
    predictor: SplitPredictor,
    variables: Any,
    on_batch: Callable[[], None],
) -> None:
    """Score the network that a run on `data.subject` starts from, and store this in its folder.

    Post-processing is fitted on dev, as after training: an offset of the ratings of one person is
    learned by it alone, without any fine-tuning.
    """
    dims = splits.metadata(config.data)["dims"]
    traces = {}
    for name in filter(None, (config.data.dev, config.data.test)):
        source = splits.open_split(config.data, name, landmark_points(config.model))
        traces[name] = predict_split(config, predictor, variables, source, on_batch)
    post_processing = fitting.fit(traces[config.data.dev], dims, config.post)
    found = {}
    for name, each in traces.items():
        raw = [trace.pred for trace in each]
        processed = [post_processing.apply(trace.pred, trace.time_s, dims) for trace in each]
        found[name] = {
            "raw": score_table.scores(each, raw, dims),
            "post_processed": score_table.scores(each, processed, dims),
        }
    if jax.process_index() == 0:
        write_json(folder / NAME, {"init": _origin(config), "splits": found})


def read(folder: pathlib.Path, config: Config) -> Mapping[str, Any]:
    """Return {split: {"raw" and "post_processed": scores}} of a run; {} if it has none.

    The scores are like those of `score_table.scores`.

    Raises:
        InputError: the file is damaged.
    """
    path, remedy = folder / NAME, "restore the file, or delete it to leave out this comparison"
    if not config.data.subject or not path.exists():
        return {}
    found = read_json(path, remedy)
    if not isinstance(found, dict) or not isinstance(found.get("splits"), dict):
        raise InputError(f"{path}: these are not the scores of a network; {remedy}")
    return found["splits"]


def _origin(config: Config) -> str:
    init = config.init
    return init.from_workdir or init.from_export or init.weights
