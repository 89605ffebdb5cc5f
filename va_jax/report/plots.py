"""Plots of a whole evaluation as PNG bytes: densities, training curves and lag curves."""

import contextlib
import functools
import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from va_jax.evaluation.lags import LagCurve
from va_jax.types import DIMS, LABEL_RANGE

BINS = 40
"""Number of bins along each axis of a density plot."""

WARNING = "#b3441e"
LABEL, PREDICTION, PROCESSED, PALE = "#222222", "#cc4a1a", "#1f5fa8", "#666666"
DIM_COLOURS = ("#1f5fa8", "#cc4a1a", "#2b8a4b", "#7a4fa3", "#b8860b", "#47818f")
"""Colours of the curves for different dimensions, repeated after the last one."""

TRACE_WIDTH = 11.4
"""Width of the plot of a single recording, in inches."""


OTHER_SCRIPTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR",
    "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Yu Gothic", "Microsoft YaHei",
    "Malgun Gothic", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Noto Sans Devanagari",
    "Noto Sans Thai", "Noto Sans Hebrew", "Noto Sans Arabic", "Arial Unicode MS",
)  # fmt: skip
"""Fonts that come with systems, for letters that DejaVu Sans lacks."""


@functools.cache
def fonts() -> list[str]:
    """Return the font families for text from users: DejaVu Sans, then other installed ones."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in installed)]


@contextlib.contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Draw letters that no font has as boxes, without a warning for each of them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


class InlineFigure(Figure):
    """A figure that notebooks show even if pyplot, which tells them how, was never imported."""

    def _repr_png_(self) -> bytes:
        return render_png(self)


def render_png(figure: Figure, text: Mapping[str, str] | None = None) -> bytes:
    """Return a figure as a PNG with 128 colours, which halves its size, and with text entries."""
    canvas = FigureCanvasAgg(figure)
    with without_glyph_warnings():
        canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    image = image.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette = image.getpalette() or []
    image.putpalette([255 if value > 250 else value for value in palette])  # true white
    out = io.BytesIO()
    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    image.save(out, "PNG", pnginfo=info)
    return out.getvalue()


def style(axes: Axes) -> None:
    """Style axes with pale ticks and without top and right borders."""
    axes.tick_params(labelsize=8, labelcolor=PALE, color=PALE, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.7")


def draw_empty_plane(axes: Axes) -> None:
    """Draw the axes of the valence-arousal plane and the circle around it."""
    axes.add_patch(Circle((0, 0), 1, fill=False, color="0.35", lw=0.9))
    axes.axhline(0, color="0.35", lw=0.7)
    axes.axvline(0, color="0.35", lw=0.7)
    axes.set(xlim=LABEL_RANGE, ylim=LABEL_RANGE, aspect="equal")
    axes.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))


def draw_plane(
    target: Float[np.ndarray, "frames dims"], pred: Float[np.ndarray, "frames dims"],
    dims: Sequence[str],
) -> bytes:  # fmt: skip
    """Draw the densities of labels and predictions over `DIMS`, which `dims` must contain."""
    columns = [list(dims).index(dim) for dim in DIMS]
    figure, panels = _figure(2, 4.9)
    _draw_densities(figure, panels, [values[:, columns] for values in (target, pred)])
    for axes, name in zip(panels, ("labels", "predictions"), strict=True):
        draw_empty_plane(axes)
        _name(axes, name, *DIMS)
    return render_png(figure)


def draw_scatter(
    target: Float[np.ndarray, "frames dims"], pred: Float[np.ndarray, "frames dims"],
    ccc: Mapping[str, float],
) -> bytes:  # fmt: skip
    """Draw the density of predictions against labels, with a line of perfect agreement.

    `ccc` contains the pooled CCC for each dimension, in the order of the columns.
    """
    figure, panels = _figure(len(ccc), 4.9)
    _draw_densities(
        figure, panels, [np.stack(each, -1) for each in zip(target.T, pred.T, strict=True)]
    )
    for axes, (dim, value) in zip(panels, ccc.items(), strict=True):
        axes.plot(LABEL_RANGE, LABEL_RANGE, color="0.35", lw=0.9, ls=(0, (5, 3)))
        axes.set(xlim=LABEL_RANGE, ylim=LABEL_RANGE, aspect="equal")
        _name(axes, f"{dim}, CCC {value:.3f} pooled", "label", "prediction")
    return render_png(figure)


def density(pairs: Float[np.ndarray, "frames 2"]) -> Float[np.ndarray, "bins bins"]:
    """Return the share of frames in each bin [x, y]; values outside the range are clipped."""
    x, y = np.clip(pairs, *LABEL_RANGE).T
    counts, _, _ = np.histogram2d(x, y, BINS, (LABEL_RANGE, LABEL_RANGE))
    return counts / len(pairs)


def draw_losses(
    history: Sequence[Mapping[str, Any]], dims: Sequence[str], step: int | None
) -> bytes:
    """Draw the training loss and the dev CCC by step, and mark the scored checkpoint.

    `history` contains the lines of metrics.jsonl; if `step` is None, there is no mark.
    """
    figure, (left, right) = _figure(2, 3.6)

    def draw_line(axes: Axes, kind: str, key: str, colour: str, **look: Any) -> None:
        lines = [line for line in history if line["kind"] == kind and key in line]
        x, y = [line["step"] for line in lines], [line[key] for line in lines]
        axes.plot(x, y, color=colour, lw=1.3, **look)

    draw_line(left, "train", "loss", LABEL)
    _name(left, "training loss", "step", "")
    for i, dim in enumerate(dims):
        colour = DIM_COLOURS[i % len(DIM_COLOURS)]
        draw_line(right, "dev", f"ccc_{dim}", colour, marker=".", ms=5, label=dim)
    right.axhline(0, color="0.6", lw=0.6)
    if step is not None:
        right.axvline(step, color=PALE, lw=1, ls=":", label=f"checkpoint at step {step}")
    right.legend(frameon=False, fontsize=8.5)
    _name(right, "CCC on dev, pooled", "step", "")
    return render_png(figure)


def draw_lags(curves: Mapping[str, LagCurve]) -> bytes:
    """Draw the dev CCC by removed lag, with a panel and the best lag for each dimension."""
    figure, panels = _figure(len(curves), 3.6)
    for axes, (dim, curve) in zip(panels, curves.items(), strict=True):
        axes.axvline(0, color="0.6", lw=0.6)
        axes.plot(curve.lags_s, curve.ccc, color=LABEL, lw=1.3)
        axes.axvline(curve.best_lag_s, color=PREDICTION, lw=1, ls=":")
        axes.plot(curve.best_lag_s, curve.best_ccc, "o", color=PREDICTION, ms=5)
        title = f"{dim}: highest CCC {curve.best_ccc:.3f} at {curve.best_lag_s:+.2f} s"
        _name(axes, title, "lag removed, in s (positive: predictions moved earlier)", "CCC")
    return render_png(figure)


def _figure(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(5.4 * panels, height), dpi=110, layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _draw_densities(figure: Figure, panels: Sequence[Axes], pairs: Sequence[np.ndarray]) -> None:
    """Draw a density in each panel, with a common colour scale that starts at one frame."""
    shares = [density(each) for each in pairs]
    lowest = 1 / len(pairs[0])
    highest = max(lowest, *(float(share.max()) for share in shares))
    norm = LogNorm(lowest, highest)
    edges = np.linspace(*LABEL_RANGE, BINS + 1)
    for axes, share in zip(panels, shares, strict=True):
        shown = np.ma.masked_equal(share.T, 0)
        axes.pcolormesh(edges, edges, shown, norm=norm, cmap="YlGnBu", rasterized=True)
    bar = figure.colorbar(ScalarMappable(norm, "YlGnBu"), ax=panels, shrink=0.8, aspect=30)
    marks = np.geomspace(lowest, highest, 4).tolist()
    bar.set_ticks(marks, labels=[f"{mark:.2%}" for mark in marks])
    bar.minorticks_off()
    bar.set_label("share of scored frames", size=9, color=PALE)


def _name(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", size=10, color="0.2", parse_math=False)
    axes.set_xlabel(x, size=9, color=PALE)
    axes.set_ylabel(y, size=9, color=PALE)
    style(axes)
