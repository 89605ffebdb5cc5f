"""Pictures of a whole evaluation as PNG bytes: densities in the plane, losses, and lags."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from va_jax.evaluation.lags import LagCurve
from va_jax.types import DIMS, LABEL_RANGE

BINS = 40
"""Bins along each side of a density."""

COLOUR_MAP = "YlGnBu"

LABEL, PREDICTION, PROCESSED, PALE = "#222222", "#cc4a1a", "#1f5fa8", "#666666"
DIM_COLOURS = ("#1f5fa8", "#cc4a1a", "#2b8a4b", "#7a4fa3", "#b8860b", "#47818f")
"""Colours of curves that differ in their dimension; they repeat after the last."""


def render_png(figure: Figure) -> bytes:
    """Draw a figure that has an Agg canvas and return it as `encode_png` does."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return encode_png(canvas)


def encode_png(canvas: FigureCanvasAgg) -> bytes:
    """Return the canvas as a PNG of 128 colours, half the size of one with all colours."""
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    image = image.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = image.getpalette() or []
    image.putpalette([255 if value > 250 else value for value in palette])  # true white
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def draw_plane(
    target: Float[np.ndarray, "frames dims"], pred: Float[np.ndarray, "frames dims"],
    dims: Sequence[str],
) -> bytes:  # fmt: skip
    """Draw the density of labels and of predictions over valence and arousal.

    Args:
        dims: names of the columns; valence and arousal must be among them.
    """
    columns = [list(dims).index(dim) for dim in DIMS]
    figure, panels = _figure(2, 4.9)
    shares = [density(values[:, columns[0]], values[:, columns[1]]) for values in (target, pred)]
    limits = _limits(shares, len(target))
    for axes, share, name in zip(panels, shares, ("labels", "predictions"), strict=True):
        _show_density(axes, share, limits)
        axes.add_patch(Circle((0, 0), 1, fill=False, color="0.35", lw=0.9))
        axes.axhline(0, color="0.35", lw=0.7)
        axes.axvline(0, color="0.35", lw=0.7)
        _name(axes, name, *DIMS)
    _colour_bar(figure, panels, limits)
    return render_png(figure)


def draw_scatter(
    target: Float[np.ndarray, "frames dims"], pred: Float[np.ndarray, "frames dims"],
    ccc: Mapping[str, float],
) -> bytes:  # fmt: skip
    """Draw the density of predictions over labels, with the line of perfect agreement.

    Args:
        ccc: dimension -> pooled CCC, in the order of the columns.
    """
    figure, panels = _figure(len(ccc), 4.9)
    shares = [density(target[:, i], pred[:, i]) for i in range(len(ccc))]
    limits = _limits(shares, len(target))
    for axes, share, (dim, value) in zip(panels, shares, ccc.items(), strict=True):
        _show_density(axes, share, limits)
        axes.plot(LABEL_RANGE, LABEL_RANGE, color="0.35", lw=0.9, ls=(0, (5, 3)))
        _name(axes, f"{dim}, CCC {value:.3f} pooled", "label", "prediction")
    _colour_bar(figure, panels, limits)
    return render_png(figure)


def density(
    x: Float[np.ndarray, " frames"], y: Float[np.ndarray, " frames"]
) -> Float[np.ndarray, "bins bins"]:
    """Return the share of frames in each bin, [x, y]; values outside the range go to its border."""
    x, y = np.clip(x, *LABEL_RANGE), np.clip(y, *LABEL_RANGE)
    counts, _, _ = np.histogram2d(x, y, BINS, (LABEL_RANGE, LABEL_RANGE))
    return counts / len(x)


def draw_losses(
    history: Sequence[Mapping[str, Any]], dims: Sequence[str], step: int | None
) -> bytes:
    """Draw the training loss and the dev CCC over the steps, and mark the scored checkpoint.

    Args:
        history: the lines of metrics.jsonl.
        step: the step of the checkpoint; None leaves the mark out.
    """
    figure, (left, right) = _figure(2, 3.6)
    train = [line for line in history if line["kind"] == "train"]
    dev = [line for line in history if line["kind"] == "dev"]
    mark = "." if len(train) < 30 else None
    left.plot(
        [line["step"] for line in train], [line["loss"] for line in train], color=LABEL, lw=1.3,
        marker=mark, ms=4,
    )  # fmt: skip
    _name(left, "training loss", "step", "")
    for i, dim in enumerate(dims):
        known = [line for line in dev if f"ccc_{dim}" in line]
        right.plot(
            [line["step"] for line in known], [line[f"ccc_{dim}"] for line in known],
            color=DIM_COLOURS[i % len(DIM_COLOURS)], lw=1.3, marker=".", ms=5, label=dim,
        )  # fmt: skip
    right.axhline(0, color="0.6", lw=0.6)
    if step is not None:
        right.axvline(step, color=PALE, lw=1, ls=":", label=f"checkpoint of step {step}")
    right.legend(frameon=False, fontsize=8.5)
    _name(right, "CCC on dev, pooled", "step", "")
    return render_png(figure)


def draw_lags(curves: Mapping[str, LagCurve]) -> bytes:
    """Draw the dev CCC over the removed lag, with a panel and the best lag of each dimension."""
    figure, panels = _figure(len(curves), 3.6)
    for axes, (dim, curve) in zip(panels, curves.items(), strict=True):
        axes.axvline(0, color="0.6", lw=0.6)
        axes.plot(curve.lags_s, curve.ccc, color=LABEL, lw=1.3)
        axes.axvline(curve.best_lag_s, color=PREDICTION, lw=1, ls=":")
        axes.plot(curve.best_lag_s, curve.best_ccc, "o", color=PREDICTION, ms=5)
        title = f"{dim}: highest at {curve.best_lag_s:+.2f} s, CCC {curve.best_ccc:.3f}"
        _name(axes, title, "removed lag, s (above 0: predictions moved earlier)", "CCC")
    return render_png(figure)


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(max(5.4 * panels, 5.4), height), dpi=110)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _limits(shares: Sequence[np.ndarray], frames: int) -> tuple[float, float]:
    """Return the ends of the colour scale: the share of one frame, and the largest share."""
    return 1 / frames, max(1 / frames, *(float(share.max()) for share in shares))


def _show_density(axes: Axes, share: np.ndarray, limits: tuple[float, float]) -> None:
    edges = np.linspace(*LABEL_RANGE, BINS + 1)
    shown = np.ma.masked_equal(share.T, 0)
    axes.pcolormesh(edges, edges, shown, norm=LogNorm(*limits), cmap=COLOUR_MAP, rasterized=True)
    axes.set(xlim=LABEL_RANGE, ylim=LABEL_RANGE, aspect="equal")
    axes.set(xticks=(-1, -0.5, 0, 0.5, 1), yticks=(-1, -0.5, 0, 0.5, 1))


def _colour_bar(figure: Figure, panels: Sequence[Axes], limits: tuple[float, float]) -> None:
    colours = ScalarMappable(LogNorm(*limits), COLOUR_MAP)
    bar = figure.colorbar(colours, ax=panels, shrink=0.8, pad=0.02, aspect=30)
    marks = np.geomspace(*limits, 4).tolist()
    bar.set_ticks(marks, labels=[f"{mark:.2%}" for mark in marks])
    bar.minorticks_off()
    bar.set_label("share of scored frames", size=9, color=PALE)
    bar.ax.tick_params(labelsize=8, labelcolor=PALE, color=PALE)
    bar.outline.set_visible(False)


def _name(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", size=10, color="0.2", parse_math=False)
    axes.set_xlabel(x, size=9, color=PALE)
    axes.set_ylabel(y, size=9, color=PALE)
    axes.tick_params(labelsize=8.5, labelcolor=PALE, color=PALE, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.7")
