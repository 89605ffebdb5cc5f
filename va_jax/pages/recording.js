/**
 * A recording of a report: its curves with their values under the pointer, and a film strip.
 *
 * `facts` of the page describes the panels: {name, curves}, where a curve is {name, column, colour}
 * and a band is {low, high} as columns, or {around, width}, where the width is a column or, as
 * {constant}, a number. `hidden` is the column that is 0 where frames are not scored.
 */
class Recording {
  constructor(host, facts) {
    Object.assign(this, { host, facts, own: facts.recordings[host.dataset.block] });
  }

  /** Draws the recording, unless it was taken down meanwhile. */
  async draw() {
    this.wanted = true;
    const buffer = await unpack(this.host.dataset.block);
    if (!this.wanted || this.timeline) return;
    this.columns = readColumns(buffer);
    this.times = this.columns[0];
    const curves = document.createElement("div");
    curves.className = "curves";
    this.host.replaceChildren(curves);
    this.timeline = new Timeline(curves, {
      height: 98, range: this.range(), sync: this.host.dataset.block, wrapsBelow: 770,
      onSeek: time => this.moveTo(time),
      onHover: time => this.say(time ?? this.timeline.time),
      onLook: () => this.strip?.draw(this.timeline),
    });
    const hidden = this.facts.hidden === null ? () => false
      : frame => !this.columns[this.facts.hidden][frame];
    this.timeline.show(this.times, this.facts.panels.map((panel, place) => ({
      name: this.own.titles?.[place] ?? panel.name,
      curves: panel.curves.map(curve => this.curve(curve)),
    })), spansOf(this.times.length, hidden));
    this.readouts = this.timeline.plots.map(plot => {
      const line = document.createElement("span");
      line.className = "values";
      plot.title.append(line);
      return line;
    });
    if (this.own.strip) {
      this.strip = new FilmStrip(this.host, this.own.strip, time => this.moveTo(time));
      await this.strip.image.decode();
    }
    if (!this.timeline) return;
    this.moveTo(this.times[0]);
    this.host.dataset.drawn = "true";
  }

  takeDown() {
    this.wanted = false;
    if (!this.timeline) return;
    this.timeline.remove();
    this.host.replaceChildren();
    delete this.host.dataset.drawn;
    this.timeline = this.strip = undefined;
  }

  curve(spec) {
    const { column, low, high, around, width } = spec;
    if (column !== undefined) return { ...spec, values: this.columns[column] };
    if (low !== undefined) return { ...spec, low: this.columns[low], high: this.columns[high] };
    const half = frame => width.constant ?? this.columns[width][frame];
    const edge = sign => this.columns[around].map((value, frame) =>
      value === null || half(frame) === null ? null : value + sign * half(frame));
    return { ...spec, low: edge(-1), high: edge(1) };
  }

  range() {
    const drawn = this.facts.panels.flatMap(panel => panel.curves)
      .filter(curve => curve.column !== undefined);
    let [low, high] = this.facts.range;
    for (const { column } of drawn) for (const value of this.columns[column]) {
      if (value !== null && value < low) low = value;
      if (value !== null && value > high) high = value;
    }
    return [low, high];
  }

  moveTo(time) {
    this.timeline.moveTo(time);
    this.say(time);
  }

  /** Shows the values at a time beside the names of the panels. */
  say(time) {
    const frame = nearestFrame(this.times, time);
    this.facts.panels.forEach((panel, place) => {
      const parts = panel.curves.filter(curve => curve.column !== undefined).map(curve => {
        const part = document.createElement("span"), swatch = document.createElement("i");
        swatch.className = "line";
        swatch.style.background = `var(--${curve.colour})`;
        const value = this.columns[curve.column][frame];
        part.append(swatch, `${curve.name} ${value === null ? "\u2013" : signed(value)}`);
        return part;
      });
      const moment = document.createElement("span");
      moment.className = "when";
      moment.textContent = clock(this.times[frame], 1);
      this.readouts[place].replaceChildren(moment, ...parts);
    });
    this.strip?.point(this.timeline, time);
  }
}

/**
 * Draws recordings when they come near the visible part of the page, and removes them after.
 *
 * Returns a function that draws all of them on white in the width of paper, and prints the page.
 */
function drawWhenSeen(facts) {
  const recordings = new Map(), { classList } = document.documentElement;
  const watcher = new IntersectionObserver(entries => {
    for (const { target, isIntersecting } of entries) {
      const recording = recordings.get(target);
      if (isIntersecting) recording.draw(); else recording.takeDown();
    }
  }, { rootMargin: "400px" });
  const watch = () => recordings.forEach((_, host) => watcher.observe(host));
  for (const host of document.querySelectorAll(".recording")) {
    recordings.set(host, new Recording(host, facts));
  }
  watch();
  return async () => {
    watcher.disconnect();
    classList.add("printed");
    recordings.forEach(recording => recording.takeDown());
    await Promise.all(Array.from(recordings.values(), recording => recording.draw()));
    addEventListener("afterprint", () => {
      classList.remove("printed");
      recordings.forEach(recording => recording.takeDown());
      watch();
    }, { once: true });
    print();
  };
}
