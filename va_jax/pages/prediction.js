/** The page of a prediction: video, curves and plane show the same moment. */

const TAIL_S = 3; // length of the tail in the plane
const ROUNDING_S = 0.004; // a browser's clock may fall this much short of a frame's time

const facts = JSON.parse(document.getElementById("facts").textContent);
const byId = id => document.getElementById(id);

function start(csv) {
  const { times, frames, faces } = readFaces(csv, facts);
  const frameOf = time => frameAt(times, time + ROUNDING_S);
  const last = times.at(-1);
  let face = mainFace(faces);

  const video = byId("video");
  const player = video ? new Player(video, show) : new Still(show);
  const seek = time => player.seek(Math.min(last, Math.max(0, time)));
  const stage = byId("stage") && new Stage(facts, faces, clicked => {
    if (clicked && clicked !== face) choose(clicked); else player.toggle();
  });
  const plane = byId("plane") && new Plane(byId("plane"));
  const timeline = byId("curves") && new Timeline(byId("curves"), {
    range: rangeOf(faces), sync: "prediction", onSeek: seek, onHover: readOut,
  });

  function choose(chosen) {
    face = chosen;
    if (byId("face")) byId("face").value = face.track;
    timeline?.show(times, facts.dims.map((dim, place) => ({
      name: dim,
      curves: [{ values: face?.values[dim] ?? [], colour: `dim-${place % 6}` }],
    })), spansOf(times.length, frame => !face?.shown[frame]));
    show(player.shown);
  }

  function show(time) {
    timeline?.moveTo(time, player.playing);
    stage?.draw(frameOf(time), face);
    plane?.draw(face ? [tail(frameOf(time))] : []);
    readOut(null);
  }

  function readOut(hovered) {
    const frame = frameOf(hovered ?? player.shown), shown = face?.shown[frame];
    byId("readout").classList.toggle("hovered", hovered !== null);
    byId("when").textContent = hovered === null ? "time" : "at the pointer";
    byId("time").textContent = clock(times[frame], 2);
    byId("frame").textContent = `frame ${frames[frame]}`;
    for (const dim of facts.dims) {
      byId(`value-${dim}`).textContent = shown ? signed(face.values[dim][frame]) : "\u2013";
    }
    byId("unseen").hidden = Boolean(shown);
  }

  function tail(frame) {
    const points = [];
    for (let index = frameAt(times, times[frame] - TAIL_S); index <= frame; index++) {
      points.push(face.shown[index] ? facts.plane.map(dim => face.values[dim][index]) : null);
    }
    return { points, colour: faces.length > 1 ? faceColour(face) : "accent" };
  }

  function step(count) {
    const frame = Math.min(times.length - 1, Math.max(0, frameOf(player.shown) + count));
    const next = times[Math.min(times.length - 1, frame + 1)];
    if (player.playing) player.toggle();
    player.seek(times[frame] + 0.25 * (next - times[frame])); // safely within the frame
    timeline?.moveTo(player.shown, true);
  }

  const zoom = factor => timeline?.zoom(factor);
  const keys = {
    " ": () => player.toggle(),
    ArrowLeft: shift => shift ? seek(player.shown - 1) : step(-1),
    ArrowRight: shift => shift ? seek(player.shown + 1) : step(1),
    Home: () => seek(0),
    End: () => seek(last),
    "+": () => zoom(0.5),
    "=": () => zoom(0.5),
    "-": () => zoom(2),
    0: () => timeline?.whole(),
  };
  document.addEventListener("keydown", event => {
    const action = keys[event.key], own = event.key === " " ? "button, summary, select" : "select";
    if (!action || event.target.closest(own) || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    event.preventDefault();
    action(event.shiftKey);
  });
  byId("nearer")?.addEventListener("click", () => zoom(0.5));
  byId("farther")?.addEventListener("click", () => zoom(2));
  byId("whole")?.addEventListener("click", () => timeline.whole());
  byId("face")?.addEventListener("change", event =>
    choose(faces.find(each => String(each.track) === event.target.value)));
  byId("download").addEventListener("click", () => download(csv));
  if (video) setUp(video, player, stage);
  choose(face);
}

/** Connects the buttons of the video, and shows a message if it cannot be played. */
function setUp(video, player, stage) {
  const play = byId("play");
  play.addEventListener("click", () => player.toggle());
  for (const kind of ["play", "pause", "ended"]) video.addEventListener(kind, () => {
    play.textContent = player.playing ? "Pause" : "Play";
  });
  byId("speed").addEventListener("change", event => {
    video.playbackRate = Number(event.target.value);
  });
  byId("sound").addEventListener("click", event => {
    video.muted = !video.muted;
    event.target.textContent = video.muted ? "Sound on" : "Sound off";
  });
  video.addEventListener("loadedmetadata", () => {
    if (video.videoWidth) stage.fit(video.videoWidth, video.videoHeight);
  });
  video.addEventListener("error", () => {
    byId("problem").hidden = false;
    for (const id of ["play", "speed", "sound"]) byId(id).disabled = true;
  });
  video.src = facts.video_type
    ? URL.createObjectURL(new Blob([blockBytes("video-bytes")], { type: facts.video_type }))
    : facts.video_href;
}

/** Returns the range of all values and of the labels. */
function rangeOf(faces) {
  let [low, high] = [-1, 1];
  for (const face of faces) for (const values of Object.values(face.values)) {
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return [low, high];
}

function download(csv) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  link.download = facts.csv_name;
  link.click();
}

unpack("rows").then(bytes => {
  start(new TextDecoder().decode(bytes));
  document.body.dataset.ready = "true";
});
