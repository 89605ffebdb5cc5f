"""MODEL_CARD.md: a description of an exported model in words, based on its metadata."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from va_jax.config import Config
from va_jax.evaluation.postprocess import PostProcessing
from va_jax.export import check
from va_jax.export.metadata import SYNTHETIC_WARNING, is_synthetic
from va_jax.models.build import describe
from va_jax.report import tables
from va_jax.types import LOGIT

NAME = "MODEL_CARD.md"
TEMPLATE = pathlib.Path(__file__).with_name("model_card.md")

TEMPORAL = {
    "causal": "Each prediction depends on its own frame and, through a state, on earlier ones.",
    "both_ways": "Each prediction depends on earlier and later frames.",
    "none": "Each prediction depends only on its own frame.",
}


def text(metadata: Mapping[str, Any], config: Config) -> str:
    """Return the model card for an export, given its metadata and the config of its run."""
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
        ranged=[dim for dim in metadata["dims"] if not dim.startswith(LOGIT)],
        logits=[dim for dim in metadata["dims"] if dim.startswith(LOGIT)],
        lag=_lag,
        network=describe(config.model),
        dependence=TEMPORAL[metadata["temporal"]],
        evaluated=_evaluated(metadata["evaluation"]),
        metrics_tables=[tables.markdown(split, each).rstrip() for split, each in scores.items()],
        chain=post_processing and PostProcessing.from_json(post_processing, "post_processing"),
        comparisons_table=check.table(metadata["comparisons"]).markdown(),
        limit=check.LIMIT,
    )


def _evaluated(evaluation: Mapping[str, Any]) -> str:
    if evaluation["state"] == "carry":
        return "with the state carried along each track"
    return (
        f"with windows of {evaluation['length']} frames every {evaluation['hop']} frames, combined "
        f"by {evaluation['fusion']}"
    )


def _lag(lag_s: float) -> str:
    if not lag_s:
        return "none"
    return f"{abs(lag_s):.2f} s {'after' if lag_s > 0 else 'before'} the labels"


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
