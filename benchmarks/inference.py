"""Time of the forward pass of the papers' networks, against the same in torch.

    python -m benchmarks.inference --windows 1 --networks tzirakis2021:resnet50_lstm

Whole windows by the network as evaluation calls it, frames on the device; all else, turns, types
and columns, as in `benchmarks.train_step`, whose flags it takes. Carried state and the command that
reads videos are measured by `benchmarks.stream` and `benchmarks.predict`.
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
