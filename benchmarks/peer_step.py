"""Run a training step or forward pass of a torch peer, with the config's loss and optimiser."""

import os
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.peers import Network
from va_jax.config import Config, Loss, Optim, to_tree
from va_jax.types import DIMS


def make_step(
    config: Config, batch: dict[str, Any], compiled: bool = False
) -> tuple[Callable[[], None], None]:
    """Return a function that takes a training step on the device with the arrays in `batch`."""
    peer, tensors, inputs = _placed(config, batch)
    optimiser = make_optimiser(config.optim, peer)
    run = torch.compile(peer) if compiled else peer

    def step() -> None:
        loss = weighted_loss(run(**inputs), tensors["target"], config.loss)
        loss.backward()
        if config.optim.clip_norm:
            torch.nn.utils.clip_grad_norm_(peer.parameters(), config.optim.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        _wait(peer)

    return step, None


def make_forward(
    config: Config, batch: dict[str, Any], compiled: bool = False
) -> tuple[Callable[[], None], None]:
    """Return a function that runs the forward pass of an evaluation on `batch`."""
    peer, _, inputs = _placed(config, batch)
    peer.eval()
    run = torch.compile(peer) if compiled else peer

    def forward() -> None:
        with torch.inference_mode():
            run(**inputs)
        _wait(peer)

    return forward, None


def _placed(
    config: Config, batch: dict[str, Any]
) -> tuple[Network, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the network, the batch, and the part of the batch that is the network's input."""
    torch.set_float32_matmul_precision("high")  # TF32, the default of JAX on a GPU
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    flat = config.model.inflation.taps == 1
    layout = torch.channels_last if flat else torch.channels_last_3d
    peer = Network(config.model, DIMS, config.data.size).to(device, memory_format=layout)
    tensors = {name: torch.from_numpy(x).to(device) for name, x in batch.items()}
    inputs = {name: tensors[name] for name in ("frames", "landmarks") if name in tensors}
    return peer, tensors, inputs


def _wait(peer: Network) -> None:
    if peer.mean.is_cuda:
        torch.cuda.synchronize()


def weighted_loss(pred: torch.Tensor, target: torch.Tensor, weights: Loss) -> torch.Tensor:
    """Return the loss over all frames of [batch, time, dims], as in `va_jax.train.losses`."""
    mse = ((pred - target) ** 2).mean((0, 1))
    covariance = ((pred - pred.mean((0, 1))) * (target - target.mean((0, 1)))).mean((0, 1))
    # mse + 2 covariance = both variances + the squared difference of the means.
    ccc = 2 * covariance / (mse + 2 * covariance + 1e-8)
    return weights.ccc * (1 - ccc).mean() + weights.mse * mse.mean()


def make_optimiser(c: Optim, peer: Network) -> torch.optim.Optimizer:
    """Return Adam or AdamW with a learning rate per part and weight decay on kernels only."""
    if c.name not in ("adam", "adamw"):
        raise SystemExit(
            f"optim.name={c.name!r} is not implemented for torch here; set adam or adamw"
        )
    decay = c.weight_decay if c.name == "adamw" else 0.0
    peer.backbone.train(bool(c.rates.backbone))
    groups = []
    for name, rate in to_tree(c.rates).items():
        part = peer.stacks if name == "temporal" else getattr(peer, name)
        part.requires_grad_(bool(rate))
        for kernels in (True, False):
            some = [parameter for parameter in part.parameters() if (parameter.ndim > 1) == kernels]
            weight_decay = decay if kernels else 0.0
            groups.append(
                {"params": some, "lr": rate * c.learning_rate, "weight_decay": weight_decay}
            )
    return torch.optim.AdamW(groups, fused=peer.mean.is_cuda)
