"""Pictures of a whole evaluation: where labels and predictions lie, losses, lags; as PNG bytes."""

import io
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from va_jax.evaluation.lags import LagCurve
from va_jax.types import DIMS, LABEL_RANGE

BINS = 40
"""Along each side of a density."""

LABEL, PREDICTION, LATER, PALE = "#222222", "#cc4a1a", "#1f5fa8", "#666666"
LINES = ("#1f5fa8", "#cc4a1a", "#2b8a4b", "#7a4fa3", "#b8860b", "#47818f")
"""Colours of the dimensions, in their order."""


def png(figure: Figure) -> bytes:
    """The figure, drawn, as `encoded` gives it."""
    figure.canvas.draw()
    return encoded(figure.canvas)


def encoded(canvas: FigureCanvasAgg) -> bytes:
    """What is on the canvas as a PNG of few colours, which takes half the bytes of all colours."""
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    image = image.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    image.putpalette([255 if value > 250 else value for value in image.getpalette()])  # true white
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


def plane(
    target: Float[np.ndarray, "frames dims"], pred: Float[np.ndarray, "frames dims"],
    dims: Sequence[str],
) -> bytes:  # fmt: skip
    """Density of labels and of predictions over valence and arousal, in the same colours.

    `dims` must name both.
    """
    columns = [list(dims).index(dim) for dim in DIMS]
    figure, panels = _figure(2, 4.9)
    shares = [density(values[:, columns[0]], values[:, columns[1]]) for values in (target, pred)]
    norm = _scale(shares, len(target))
    for axes, share, name in zip(panels, shares, ("labels", "predictions"), strict=True):
        mesh = _show_density(axes, share, norm)
        axes.add_patch(Circle((0, 0), 1, fill=False, color="0.35", lw=0.9))
        axes.axhline(0, color="0.35", lw=0.7)
        axes.axvline(0, color="0.35", lw=0.7)
        _name(axes, name, *DIMS)
    _colour_bar(figure, panels, mesh)
    return png(figure)


def scatter(
    target: Float[np.ndarray, "frames dims"], pred: Float[np.ndarray, "frames dims"],
    dims: Sequence[str], ccc: Sequence[float],
) -> bytes:  # fmt: skip
    """Density of predictions over labels for each dimension, with the line where they agree."""
    figure, panels = _figure(len(dims), 4.9)
    shares = [density(target[:, i], pred[:, i]) for i in range(len(dims))]
    norm = _scale(shares, len(target))
    for axes, share, dim, value in zip(panels, shares, dims, ccc, strict=True):
        mesh = _show_density(axes, share, norm)
        axes.plot(LABEL_RANGE, LABEL_RANGE, color="0.35", lw=0.9, ls=(0, (5, 3)))
        _name(axes, f"{dim}, CCC {value:.3f} pooled", "label", "prediction")
    _colour_bar(figure, panels, mesh)
    return png(figure)


def density(
    x: Float[np.ndarray, " frames"], y: Float[np.ndarray, " frames"]
) -> Float[np.ndarray, "bins bins"]:
    """Share of the frames in each bin, [x, y]; values beyond the range count at its border."""
    x, y = np.clip(x, *LABEL_RANGE), np.clip(y, *LABEL_RANGE)
    counts, _, _ = np.histogram2d(x, y, BINS, (LABEL_RANGE, LABEL_RANGE))
    return counts / len(x)


def loss(history: Sequence[Mapping[str, Any]], dims: Sequence[str], step: int | None) -> bytes:
    """Training loss and dev CCC over the steps, and where the scored checkpoint was taken."""
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
            color=LINES[i % len(LINES)], lw=1.3, marker=".", ms=5, label=dim,
        )  # fmt: skip
    right.axhline(0, color="0.6", lw=0.6)
    if step is not None:
        right.axvline(step, color=PALE, lw=1, ls=":", label=f"checkpoint of step {step}")
    right.legend(frameon=False, fontsize=8.5)
    _name(right, "CCC on dev, pooled", "step", "")
    return png(figure)


def lag(curves: Mapping[str, LagCurve]) -> bytes:
    """CCC on dev over the lag taken out, a panel for each dimension, its highest point marked."""
    figure, panels = _figure(len(curves), 3.6)
    for axes, (dim, curve) in zip(panels, curves.items(), strict=True):
        axes.axvline(0, color="0.6", lw=0.6)
        axes.plot(curve.lags_s, curve.ccc, color=LABEL, lw=1.3)
        axes.axvline(curve.best_lag_s, color=PREDICTION, lw=1, ls=":")
        axes.plot(curve.best_lag_s, curve.best_ccc, "o", color=PREDICTION, ms=5)
        title = f"{dim}: highest at {curve.best_lag_s:+.2f} s, CCC {curve.best_ccc:.3f}"
        _name(axes, title, "lag taken out, s (above 0: predictions moved earlier)", "CCC")
    return png(figure)


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(max(5.4 * panels, 5.4), height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _scale(shares: Sequence[np.ndarray], frames: int) -> LogNorm:
    """From one frame on."""
    return LogNorm(1 / frames, max(1 / frames, *(share.max() for share in shares)))


def _show_density(axes: Axes, share: np.ndarray, norm: LogNorm) -> Any:
    edges = np.linspace(*LABEL_RANGE, BINS + 1)
    shown = np.ma.masked_equal(share.T, 0)
    mesh = axes.pcolormesh(edges, edges, shown, norm=norm, cmap="YlGnBu", rasterized=True)
    axes.set(xlim=LABEL_RANGE, ylim=LABEL_RANGE, aspect="equal")
    axes.set(xticks=(-1, -0.5, 0, 0.5, 1), yticks=(-1, -0.5, 0, 0.5, 1))
    return mesh


def _colour_bar(figure: Figure, panels: Sequence[Axes], mesh: Any) -> None:
    bar = figure.colorbar(mesh, ax=panels, shrink=0.8, pad=0.02, aspect=30)
    marks = np.geomspace(mesh.norm.vmin, mesh.norm.vmax, 4)
    bar.set_ticks(marks, labels=[f"{mark:.2%}" for mark in marks])
    bar.minorticks_off()
    bar.set_label("share of the frames that count", size=9, color=PALE)
    bar.ax.tick_params(labelsize=8, labelcolor=PALE, color=PALE)
    bar.outline.set_visible(False)


def _name(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", size=10, color="0.2", parse_math=False)
    axes.set_xlabel(x, size=9, color=PALE)
    axes.set_ylabel(y, size=9, color=PALE)
    axes.tick_params(labelsize=8.5, labelcolor=PALE, color=PALE, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.7")
