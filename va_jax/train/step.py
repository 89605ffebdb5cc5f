"""One optimiser step on the global batch, computed all at once or in pieces."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from va_jax.config import Config
from va_jax.data import sets
from va_jax.data.pipeline import network_inputs
from va_jax.models import forms
from va_jax.train import losses, optim, set_losses
from va_jax.train.set_losses import SetsOfRows
from va_jax.train.state import Tally, TrainState

Batch = dict[str, Any]
Outputs = dict[str, jax.Array]
"""Predictions `pred` [batch, time, dims] and, with bins, `logits` [batch, time, dims, bins]."""

Step = Callable[[TrainState, Tally, Batch], tuple[TrainState, Tally]]


def make_step(config: Config, model: Any, tx: optax.GradientTransformation) -> Step:
    """Return the jitted training step, which donates its state and tally.

    Every random draw depends only on the seed and the step number. If the loss or the gradient in
    a step is not finite, neither that step nor any later one changes the state, and the tally
    records the number of that step.
    """
    root = jax.random.key(config.seed)
    pieces = config.train.accumulate
    shares = [float(share) for share in sets.shares(config)]

    def forward(params: Any, stats: Any, batch: Batch, rng: jax.Array) -> tuple[Outputs, Any]:
        (pred, _), updated = model.apply(
            {"params": params, "batch_stats": stats},
            **network_inputs(batch),
            train=True,
            freeze_backbone=not config.optim.rates.backbone,
            mutable=["batch_stats", "logits"],
            rngs={"dropout": rng},
        )
        logits = {"logits": updated["logits"]["bins"][0]} if config.model.bins else {}
        return {"pred": pred, **logits}, updated["batch_stats"]

    def loss_of(outputs: Outputs, batch: Batch) -> jax.Array:
        target, mask, logits = batch["target"], batch["mask"], outputs.get("logits")
        pred, weight = outputs["pred"], batch.get("weight")

        def loss(mask: jax.Array) -> jax.Array:
            return losses.weighted_loss(pred, target, mask, config.loss, logits, weight)

        if "dataset" not in batch:
            return loss(mask)
        return set_losses.mean_over_sets(loss, mask, SetsOfRows(batch["dataset"], shares))

    def gradient(state: TrainState, batch: Batch, rng: jax.Array) -> tuple[Any, Any, Any]:
        def objective(params: Any) -> tuple[jax.Array, Any]:
            outputs, stats = forward(params, state.batch_stats, batch, rng)
            return loss_of(outputs, batch), stats

        (loss, stats), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        return loss, stats, grads

    def gradient_in_pieces(state: TrainState, batch: Batch, rng: jax.Array) -> tuple[Any, Any, Any]:
        # The CCC of a batch is not the mean of its pieces' CCCs. So we first run the model on all
        # pieces, compute the gradient of the whole batch's loss with respect to the predictions,
        # and then backpropagate it to the parameters piece by piece. This is exact and costs one
        # extra forward pass. Only batch norm is affected: it computes its statistics per piece.
        cut = jax.tree.map(lambda value: _strided(value, pieces), batch)
        rngs = jax.random.split(rng, pieces)
        outputs = jax.lax.map(
            lambda x: forward(state.params, state.batch_stats, *x)[0], (cut, rngs)
        )
        whole = {
            key: _joined(value) for key, value in cut.items() if key not in ("frames", "pooled")
        }
        loss, slopes = jax.value_and_grad(lambda p: loss_of(jax.tree.map(_joined, p), whole))(
            outputs
        )

        def add_piece(sums: tuple[Any, Any], x: tuple[Any, Any, Any]) -> tuple[Any, None]:
            stats, grads = sums
            piece, piece_rng, slope = x
            _, pull, stats = jax.vjp(
                lambda params: forward(params, stats, piece, piece_rng), state.params, has_aux=True
            )
            return (stats, jax.tree.map(jnp.add, grads, pull(slope)[0])), None

        zeros = jax.tree.map(jnp.zeros_like, state.params)
        unroll = pieces if forms.chosen().pieces == "unrolled" else 1
        (stats, grads), _ = jax.lax.scan(
            add_piece, (state.batch_stats, zeros), (cut, rngs, slopes), unroll=unroll
        )
        return loss, stats, grads

    def step(state: TrainState, tally: Tally, batch: Batch) -> tuple[TrainState, Tally]:
        rng = jax.random.fold_in(root, state.step)
        compute = gradient if pieces == 1 else gradient_in_pieces
        loss, stats, grads = compute(state, batch, rng)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        moved = TrainState(
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=stats,
            opt_state=opt_state,
        )
        average = optim.average(config.optim, state, moved)
        moved = dataclasses.replace(moved, average=average)
        grad_norm = optax.tree.norm(grads)
        good = jnp.isfinite(loss) & jnp.isfinite(grad_norm) & (tally.bad_step < 0)
        tally = Tally(
            steps=tally.steps + 1,
            loss=tally.loss + loss,
            grad_norm=tally.grad_norm + grad_norm,
            bad_step=jnp.where(good | (tally.bad_step >= 0), tally.bad_step, state.step),
        )
        return jax.tree.map(lambda new, old: jnp.where(good, new, old), moved, state), tally

    return jax.jit(step, donate_argnums=(0, 1))


def _strided(x: jax.Array, pieces: int) -> jax.Array:
    """Split a batch into [pieces, batch / pieces, ...], identically for any number of devices."""
    return x.reshape(-1, pieces, *x.shape[1:]).swapaxes(0, 1)


def _joined(x: jax.Array) -> jax.Array:
    return x.reshape(-1, *x.shape[2:])
