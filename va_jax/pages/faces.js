/**
 * Reads the csv file of a prediction: {times, frames, faces}.
 *
 * A face has its `track`, and for every frame whether it is `shown` and, if so, its box in `boxes`
 * (x, y, width, height in pixels) and its `values` by dimension.
 */
function readFaces(text, facts) {
  const number = cell => cell === "" ? NaN : Number(cell.replace(facts.decimal, "."));
  const column = Object.fromEntries(facts.columns.map((name, place) => [name, place]));
  const begin = "\n" + facts.source_cell + facts.sep; // of every row; a name may hold a separator
  const rows = text.slice(text.indexOf("\n")).split(begin).slice(1)
    .map(row => row.trimEnd().split(facts.sep).map(number));
  const frames = [], times = [], faces = new Map();
  for (const row of rows) {
    if (row[column.time_s] === times.at(-1)) continue; // of another face
    frames.push(row[column.frame]);
    times.push(row[column.time_s]);
  }
  let place = -1;
  for (const row of rows) {
    if (row[column.time_s] !== times[place]) place++;
    const track = row[column.track];
    if (Number.isNaN(track)) continue;
    if (!faces.has(track)) faces.set(track, emptyFace(track, times.length, facts.dims));
    const face = faces.get(track);
    if (!row[column.valid]) continue;
    face.shown[place] = 1;
    ["x", "y", "w", "h"].forEach((name, i) => { face.boxes[4 * place + i] = row[column[name]]; });
    for (const dim of facts.dims) face.values[dim][place] = row[column[dim]];
  }
  return { times, frames, faces: [...faces.values()].sort((a, b) => a.track - b.track) };
}

function emptyFace(track, frames, dims) {
  const empty = length => new Float32Array(length).fill(NaN);
  return {
    track,
    shown: new Uint8Array(frames),
    boxes: empty(4 * frames),
    values: Object.fromEntries(dims.map(dim => [dim, empty(frames)])),
  };
}

/** Returns the face that is shown in most frames, or undefined if there is none. */
function mainFace(faces) {
  const count = face => face.shown.reduce((sum, shown) => sum + shown, 0);
  return faces.toSorted((a, b) => count(b) - count(a))[0];
}
