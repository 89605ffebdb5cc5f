/** The faces of a recording under its time axis; the one at the pointer is larger. */
class FilmStrip {
  constructor(host, { block, side, times }, onSeek) {
    Object.assign(this, { side, times, image: new Image() });
    this.canvas = document.createElement("canvas");
    this.canvas.className = "strip";
    host.append(this.canvas);
    this.image.onload = () => this.timeline && this.draw(this.timeline);
    this.image.src = `data:image/jpeg;base64,${document.getElementById(block).textContent.trim()}`;
    this.canvas.addEventListener("click", event => {
      const left = event.clientX - this.canvas.getBoundingClientRect().left;
      onSeek(this.timeline.timeAt(left - this.inset));
    });
  }

  point(timeline, time) {
    this.time = time;
    this.draw(timeline);
  }

  draw(timeline) {
    this.timeline = timeline;
    const { canvas } = this, { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !this.image.naturalWidth || !timeline.plots.length) return;
    canvas.width = width * devicePixelRatio;
    canvas.height = height * devicePixelRatio;
    const context = canvas.getContext("2d"), small = height - 28;
    context.scale(devicePixelRatio, devicePixelRatio);
    const area = timeline.plots[0].over;
    this.inset = area.offsetLeft;
    const count = Math.max(1, Math.floor(area.clientWidth / (small + 2)));
    const step = area.clientWidth / count;
    context.globalAlpha = 0.75;
    for (let place = 0; place < count; place++) {
      const time = timeline.timeAt((place + 0.5) * step);
      this.face(context, time, this.inset + (place + 0.5) * step - small / 2, 14, small);
    }
    if (this.time === undefined) return;
    const [low, high] = timeline.view;
    if (this.time < low || this.time > high) return;
    const middle = this.inset + timeline.leftOf(this.time);
    const left = Math.min(width - height, Math.max(0, middle - height / 2));
    context.globalAlpha = 1;
    context.fillStyle = colour("playhead");
    context.fillRect(left, 0, height, height);
    this.face(context, this.time, left + 2, 2, height - 4);
  }

  /** Draws the face that is nearest in time. */
  face(context, time, left, top, size) {
    const place = nearestFrame(this.times, time) * this.side;
    context.drawImage(this.image, place, 0, this.side, this.side, left, top, size, size);
  }
}
