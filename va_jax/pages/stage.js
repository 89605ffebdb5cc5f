/** The video or image with the faces boxed on a canvas over it. */
class Stage {
  constructor(facts, faces, onClick) {
    Object.assign(this, { facts, faces, frame: 0, chosen: undefined });
    this.element = document.getElementById("stage");
    this.canvas = document.getElementById("boxes");
    this.canvas.addEventListener("click", event => onClick(this.faceUnder(event)));
    new ResizeObserver(() => this.draw(this.frame, this.chosen)).observe(this.canvas);
    this.fit(facts.width, facts.height);
  }

  /** Takes the shape of the picture as the browser shows it. */
  fit(width, height) {
    this.element.style.aspectRatio = `${width} / ${height}`;
    this.element.parentElement.style.flexBasis = `calc(48vh * ${width / height})`;
  }

  draw(frame, chosen) {
    Object.assign(this, { frame, chosen });
    const { canvas, facts } = this, { clientWidth: width, clientHeight: height } = canvas;
    if (!width) return;
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
    const context = canvas.getContext("2d");
    context.scale(canvas.width / width, canvas.height / height);
    for (const face of this.faces) {
      if (!face.shown[frame]) continue;
      const [x, y, w, h] = this.box(face).map((side, i) =>
        i % 2 ? side * height / facts.height : side * width / facts.width);
      for (const [name, thick] of [["shadow", 5], [faceColour(face), face === chosen ? 3 : 1.5]]) {
        context.strokeStyle = colour(name);
        context.lineWidth = thick;
        context.strokeRect(x, y, w, h);
      }
      if (this.faces.length < 2) continue;
      context.font = "600 14px system-ui";
      context.lineWidth = 3;
      context.strokeStyle = colour("shadow");
      context.fillStyle = colour(faceColour(face));
      context.strokeText(`face ${face.track}`, x, Math.max(14, y - 5));
      context.fillText(`face ${face.track}`, x, Math.max(14, y - 5));
    }
  }

  box(face) {
    return [...face.boxes.subarray(4 * this.frame, 4 * this.frame + 4)];
  }

  faceUnder(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const x = (event.clientX - left) / width * this.facts.width;
    const y = (event.clientY - top) / height * this.facts.height;
    return this.faces.find(face => {
      const [left, top, wide, tall] = this.box(face);
      return face.shown[this.frame]
        && x >= left && x <= left + wide && y >= top && y <= top + tall;
    });
  }
}

/** Returns the name of the colour of a face's box. */
function faceColour(face) {
  return `face-${face.track % 6}`;
}
