/** Draws the valence-arousal plane on a canvas: a point with a fading tail for each path. */
class Plane {
  constructor(canvas) {
    this.canvas = canvas;
    this.paths = [];
    this.redraw = () => this.draw(this.paths);
    new ResizeObserver(this.redraw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", this.redraw);
  }

  /** Draws paths: {points: [[valence, arousal], ...], colour}; the last point is the present. */
  draw(paths) {
    this.paths = paths;
    const { canvas } = this, side = canvas.clientWidth, scale = devicePixelRatio;
    if (!side) return;
    canvas.width = canvas.height = Math.round(side * scale);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const middle = side / 2, radius = middle - 18;
    const at = ([valence, arousal]) => [
      middle + radius * Math.min(1, Math.max(-1, valence)),
      middle - radius * Math.min(1, Math.max(-1, arousal)),
    ];
    context.strokeStyle = colour("line");
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(middle, middle, radius, 0, 2 * Math.PI);
    context.moveTo(middle - radius, middle);
    context.lineTo(middle + radius, middle);
    context.moveTo(middle, middle - radius);
    context.lineTo(middle, middle + radius);
    context.stroke();
    context.fillStyle = colour("pale");
    context.font = "12px system-ui";
    context.textAlign = "center";
    const small = side < 170;
    context.fillText(small ? "A +" : "arousal +", middle, 13);
    context.fillText("\u2212", middle, side - 5);
    context.textAlign = "right";
    context.fillText(small ? "V +" : "valence +", side - 18, middle - 5);
    context.textAlign = "left";
    context.fillText("\u2212", 18, middle - 5);
    for (const path of paths) this.drawPath(context, path, at);
  }

  drawPath(context, { points, colour: name }, at) {
    context.strokeStyle = context.fillStyle = colour(name);
    context.lineWidth = 2.5;
    context.lineCap = "round";
    for (let index = 1; index < points.length; index++) {
      const [from, to] = [points[index - 1], points[index]];
      if (!from || !to) continue;
      context.globalAlpha = 0.75 * index / points.length;
      context.beginPath();
      context.moveTo(...at(from));
      context.lineTo(...at(to));
      context.stroke();
    }
    context.globalAlpha = 1;
    const now = points.at(-1);
    if (!now) return;
    context.beginPath();
    context.arc(...at(now), 6, 0, 2 * Math.PI);
    context.fill();
    context.strokeStyle = colour("ground");
    context.lineWidth = 2;
    context.stroke();
  }
}
