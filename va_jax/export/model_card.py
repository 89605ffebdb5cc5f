"""MODEL_CARD.md: the metadata of an exported model in words, for people who receive the folder."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from va_jax.config import Config
from va_jax.config import Model as ModelConfig
from va_jax.evaluation.postprocess import PostProcessing
from va_jax.export import check
from va_jax.export.metadata import SYNTHETIC_WARNING, is_synthetic
from va_jax.report import tables

NAME = "MODEL_CARD.md"
TEMPLATE = pathlib.Path(__file__).with_name("model_card.md")

TEMPORAL = {
    "causal": "A prediction depends on its own frame and on all earlier ones, through a state.",
    "both_ways": "A prediction depends on earlier and later frames.",
    "none": "A prediction depends on its own frame only.",
}


def text(metadata: Mapping[str, Any], config: Config) -> str:
    """Return the model card of an export with these metadata and this config of its run."""
    template = jinja2.Template(
        TEMPLATE.read_text(encoding="utf-8"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    post_processing, scores = metadata["post_processing"], metadata["scores"] or {}
    return template.render(
        metadata,
        synthetic=is_synthetic(metadata),
        warning=SYNTHETIC_WARNING,
        listed=_listed,
        lag=_lag,
        network=_network(config.model),
        dependence=TEMPORAL[metadata["temporal"]],
        evaluated=_evaluated(metadata["evaluation"]),
        metrics_tables=[tables.markdown(split, each).rstrip() for split, each in scores.items()],
        chain=post_processing and PostProcessing.from_json(post_processing, "post_processing"),
        comparisons_table=check.table(metadata["comparisons"]).markdown(),
        limit=check.LIMIT,
    )


def _network(model: ModelConfig) -> str:
    parts = [f"{model.backbone} of width {model.width}"]
    if model.inflation.taps > 1:
        parts.append(f"convolutions over {model.inflation.taps} frames")
    if model.recurrent != "none":
        kind = f"{'bidirectional ' if model.bidirectional else ''}{model.recurrent.upper()}"
        parts.append(f"{kind} of {model.layers} x {model.units}")
    return ", ".join(parts)


def _evaluated(evaluation: Mapping[str, Any]) -> str:
    if evaluation["state"] == "carry":
        return "the state is carried along a track"
    return (
        f"windows of {evaluation['length']} frames every {evaluation['hop']} frames, fused by "
        f"{evaluation['fusion']}"
    )


def _lag(lag_s: float) -> str:
    if not lag_s:
        return "none"
    return f"{abs(lag_s):.2f} s {'after' if lag_s > 0 else 'before'} the labels"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
