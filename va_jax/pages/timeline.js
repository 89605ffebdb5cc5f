const OWN_EVENTS = ["mousedown", "mouseup", "dblclick"]; // not shared with other panels

/**
 * Curves over time, one panel below the other, with a common time axis and a playhead.
 *
 * A click calls `onSeek(time)`. Dragging with a mouse zooms in, dragging with a finger moves the
 * playhead, a double click shows everything. `onHover(time)` gets the time under the pointer, and
 * null when it leaves; `onLook()` is called when the visible part has changed. Timelines with the
 * same `sync` share the pointer. Titles take two lines if the host is narrower than `wrapsBelow`.
 *
 * A panel has a `name` and `curves`: {values, colour, dash, width}, or {low, high, colour} for a
 * band. `times` are in seconds. `hidden` are spans of indices to shade.
 */
class Timeline {
  constructor(host, { height = 108, range = [-1, 1], sync, wrapsBelow = 0, onSeek, onHover, onLook }) {
    Object.assign(this, { host, height, range, sync, wrapsBelow, onSeek, onHover, onLook });
    this.plots = [];
    this.time = 0;
    this.resizing = new ResizeObserver(() => this.fit());
    this.resizing.observe(host);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.plots.forEach(plot => plot.redraw(false));
    this.dark.addEventListener("change", this.repaint);
  }

  /** Draws other data; the visible part stays the same if the times do. */
  show(times, panels, hidden = []) {
    const same = this.times === times;
    Object.assign(this, { times, hidden });
    this.begin = times[0];
    this.end = Math.max(times.at(-1), this.begin + 1e-3);
    if (!same) this.view = [this.begin, this.end];
    this.plots.forEach(plot => plot.destroy());
    this.host.replaceChildren();
    this.plots = panels.map((panel, place) => this.plot(panel, place === panels.length - 1));
    this.moveTo(this.time);
  }

  plot(panel, last) {
    const values = [], series = [{}], bands = [];
    for (const curve of panel.curves) {
      const paths = { stroke: () => colour(curve.colour), width: curve.width ?? 1.5,
        dash: curve.dash, points: { show: false }, spanGaps: false };
      if (curve.values) {
        values.push(curve.values);
        const points = { show: false, size: 4, width: 0, fill: paths.stroke, filter: alone };
        series.push({ ...paths, points });
        continue;
      }
      values.push(curve.high, curve.low);
      series.push({ ...paths, width: 0 }, { ...paths, width: 0 });
      bands.push({ series: [series.length - 2, series.length - 1],
        fill: () => colour(curve.colour) });
    }
    const header = this.host.clientWidth < this.wrapsBelow ? 42 : 24;
    const axis = { stroke: () => colour("pale"), font: "12px system-ui", grid: {
      stroke: () => colour("line"), width: 1 }, ticks: { show: false } };
    const options = {
      width: this.host.clientWidth || 300, height: this.height + header + (last ? 26 : 0),
      padding: [header, 8, last ? 0 : 8, 0], legend: { show: false }, bands, series,
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, dist: 5 },
        sync: { key: this.sync, filters: { pub: kind => !OWN_EVENTS.includes(kind) } } },
      scales: { x: { time: false, range: () => this.view }, y: { range: this.range } },
      axes: [
        { ...axis, size: last ? 26 : 0, space: 70, values: last ? (plot, splits) => {
          const decimals = decimalsOf(splits[1] - splits[0]);
          return splits.map(each => clock(each, decimals));
        } : () => [] },
        { ...axis, size: 34, space: 20, splits: () => [-1, -0.5, 0, 0.5, 1].filter(
          each => each >= this.range[0] && each <= this.range[1]),
        values: (plot, splits) => splits.map(each => Number.isInteger(each) ? `${each}` : "") },
      ],
      hooks: {
        drawClear: [plot => this.shade(plot)],
        setSelect: [plot => this.zoomTo(plot)],
        setCursor: [plot => this.hover(plot)],
      },
    };
    const withGaps = column => Array.from(column, value => Number.isNaN(value) ? null : value);
    const columns = [this.times, ...values.map(withGaps)];
    const plot = new uPlot(options, thin(columns, ...this.view, options.width), this.host);
    plot.columns = columns;
    const title = document.createElement("div");
    title.className = "panel-title";
    title.style.top = `${-header}px`;
    title.textContent = panel.name;
    plot.over.append(title);
    plot.title = title;
    const playhead = document.createElement("div");
    playhead.className = "playhead";
    plot.over.append(playhead);
    plot.playhead = playhead;
    this.listen(plot);
    return plot;
  }

  listen(plot) {
    const timeOf = event =>
      this.timeAt(event.clientX - plot.over.getBoundingClientRect().left);
    let from = null;
    plot.over.addEventListener("pointerdown", event => {
      from = event.button ? null : event.clientX;
    });
    plot.over.addEventListener("pointermove", event => {
      if (event.pointerType === "touch" && from !== null) this.onSeek(timeOf(event));
    });
    plot.over.addEventListener("pointerup", event => {
      if (from !== null && Math.abs(event.clientX - from) < 5) this.onSeek(timeOf(event));
      from = null;
    });
    plot.over.addEventListener("pointercancel", () => { from = null; });
    plot.over.addEventListener("dblclick", event => {
      event.stopImmediatePropagation();
      this.whole();
    }, { capture: true });
    plot.over.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY / 300), timeOf(event));
    }, { passive: false });
  }

  shade(plot) {
    const { left, top, width, height } = plot.bbox;
    plot.ctx.save();
    plot.ctx.beginPath();
    plot.ctx.rect(left, top, width, height);
    plot.ctx.clip();
    plot.ctx.fillStyle = colour("hidden");
    for (const [first, last] of this.hidden) {
      const from = plot.valToPos(this.times[first], "x", true);
      const to = plot.valToPos(this.times[Math.min(last + 1, this.times.length - 1)], "x", true);
      plot.ctx.fillRect(from, top, Math.max(1, to - from), height);
    }
    plot.ctx.restore();
  }

  zoomTo(plot) {
    if (!plot.select.width) return;
    const [from, to] = [plot.select.left, plot.select.left + plot.select.width];
    const view = [plot.posToVal(from, "x"), plot.posToVal(to, "x")];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.look(...view);
  }

  hover(plot) {
    if (plot.cursor.event === undefined && plot.cursor.left < 0) return;
    const inside = plot.cursor.left >= 0;
    this.onHover?.(inside ? plot.posToVal(plot.cursor.left, "x") : null);
  }

  /** Shows the part of the time axis from `low` to `high`. */
  look(low, high) {
    const least = Math.min(0.2, this.end - this.begin);
    const width = Math.min(this.end - this.begin, Math.max(least, high - low));
    low = Math.max(this.begin, Math.min(low, this.end - width));
    this.view = [low, low + width];
    this.plots.forEach(plot => plot.batch(() => {
      plot.setData(thin(plot.columns, ...this.view, plot.width), false);
      plot.setScale("x", { min: this.view[0], max: this.view[1] });
    }));
    this.moveTo(this.time);
    this.onLook?.();
  }

  /** Returns the time at a place in pixels from the left of the panels. */
  timeAt(left) {
    return Math.min(this.end, Math.max(this.begin, this.plots[0].posToVal(left, "x")));
  }

  /** Returns the place of a time in pixels from the left of the panels. */
  leftOf(time) {
    return this.plots[0].valToPos(time, "x");
  }

  /** Shows `factor` times as much, with the time `around` kept in place. */
  zoom(factor, around = this.time) {
    const [low, high] = this.view;
    around = Math.min(high, Math.max(low, around));
    this.look(around - (around - low) * factor, around + (high - around) * factor);
  }

  whole() {
    this.look(this.begin, this.end);
  }

  /** Moves the playhead; with `follow`, the visible part moves along. */
  moveTo(time, follow = false) {
    this.time = time;
    const [low, high] = this.view ?? [0, 0];
    if (follow && (time < low || time > high)) {
      this.look(time - 0.1 * (high - low), time + 0.9 * (high - low));
      return;
    }
    for (const plot of this.plots) {
      plot.playhead.style.transform = `translateX(${plot.valToPos(time, "x")}px)`;
      plot.playhead.hidden = time < low || time > high;
    }
  }

  fit() {
    const width = this.host.clientWidth;
    if (!width) return;
    this.plots.forEach(plot => plot.width === width || plot.setSize({ width, height: plot.height }));
    if (this.view) this.look(...this.view); // thins the curves for the new width
  }

  remove() {
    this.resizing.disconnect();
    this.dark.removeEventListener("change", this.repaint);
    this.plots.forEach(plot => plot.destroy());
    this.host.replaceChildren();
  }
}

/** Returns the places of the values without neighbours, for which no line can be drawn. */
function alone(plot, series) {
  const values = plot.data[series], [first, last] = plot.series[0].idxs;
  const places = [];
  for (let place = first; place <= last; place++) {
    const near = values[place - 1] ?? values[place + 1] ?? null;
    if (values[place] !== null && near === null) places.push(place);
  }
  return places;
}

/** Returns how many decimals a step between two ticks needs, at most three. */
function decimalsOf(step) {
  return [0, 1, 2].find(decimals => Math.abs(step * 10 ** decimals % 1) < 1e-6) ?? 3;
}
