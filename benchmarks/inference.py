"""Measure the forward pass of the papers' networks, against the same networks in torch.

    python -m benchmarks.inference --windows 1 --networks tzirakis2021:resnet50_lstm

Whole windows are predicted as in an evaluation; the frames are already on the device. Flags, number
types, alternation and columns are those of `benchmarks.train_step`. `benchmarks.stream` measures
streams with a carried state, and `benchmarks.predict` measures the command that reads videos.
"""

import functools
from typing import Any

import jax

from benchmarks import train_step
from va_jax.config import Config
from va_jax.models.build import build_model
from va_jax.train.state import initial_variables
from va_jax.types import DIMS


def our_forward(config: Config, batch: dict[str, Any]) -> tuple[train_step.Step, float]:
    """Return the compiled forward pass of va_jax and the bytes that it moves."""
    model = build_model(config.model, DIMS)
    variables = jax.jit(lambda: initial_variables(model, config.data.size, config.seed))()
    inputs = jax.device_put({name: batch[name] for name in model.inputs(1, 1, 1)})

    @jax.jit
    def predict(variables: Any, inputs: dict[str, jax.Array]) -> jax.Array:
        return model.apply(variables, **inputs, train=False)[0]

    run = predict.lower(variables, inputs).compile()

    def forward() -> None:
        jax.block_until_ready(run(variables, inputs))

    return forward, run.cost_analysis()["bytes accessed"]


def variants(compile_torch: bool) -> dict[str, train_step.Variant]:
    """Return the variants to time, without those for torch if torch does not see the device."""
    found = {"va_jax": our_forward}
    if train_step.torch_sees_the_device():
        from benchmarks import peer_step

        found["torch"] = peer_step.make_forward
        if compile_torch:
            found["compiled"] = functools.partial(peer_step.make_forward, compiled=True)
    return found


def main() -> None:
    arguments = train_step.parser_of(__doc__.splitlines()[0]).parse_args()
    train_step.use_cores(arguments.threads)
    train_step.compare(arguments, variants(arguments.compile), flops_factor=1)


if __name__ == "__main__":
    main()
