"""What the post-processing of a model says about the time of its values, in a line for people."""

from va_jax.evaluation.postprocess import Chain
from va_jax.types import InputError


def note(chain: Chain | None, processed: bool) -> str | None:
    """How values lie to the labels in time, and what was done about it; None: nothing is known.

    Raises InputError where values are to be processed and nothing was fitted.
    """
    if chain is None:
        if processed:
            raise InputError(
                "--processed, but the model has no post-processing; fit it by "
                "`python -m va_jax.main --mode=eval`, or leave the flag out"
            )
        return None
    lags_s = {
        dim: step.constants["lag_s"]
        for dim, steps in chain.steps.items()
        for step in steps
        if step.kept and step.name == "lag" and step.constants["lag_s"]
    }
    if processed:
        steps = "; ".join(f"{dim} {words}" for dim, words in chain.words().items())
        moved = [
            f"; a value of {dim} belongs to the face {-lag_s:.2f} s before it, as the labels did"
            for dim, lag_s in lags_s.items()
            if lag_s < 0
        ]
        return f"values are post-processed: {steps}{''.join(moved)}"
    if not lags_s:
        return "values are raw; no lag to the labels was found on dev"
    told = ", ".join(
        f"{dim} {abs(lag_s):.2f} s {'later' if lag_s > 0 else 'earlier'} than its labels"
        for dim, lag_s in lags_s.items()
    )
    return f"values are raw, so they come as on dev: {told}; --processed corrects that"
