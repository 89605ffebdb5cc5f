/** Returns the bytes of a data block, which is base64 text in an element. */
function blockBytes(id) {
  const text = document.getElementById(id).textContent.trim();
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const characters = atob(text);
  return Uint8Array.from(characters, character => character.charCodeAt(0));
}

/** Returns the content of a compressed data block as an ArrayBuffer. */
function unpack(id) {
  const packed = new Blob([blockBytes(id)]).stream();
  return new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** Returns the index of the last time that is at most `time`, or 0. */
function frameAt(times, time) {
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time) low = middle; else high = middle - 1;
  }
  return low;
}

/** Returns the index of the time that is nearest to `time`. */
function nearestFrame(times, time) {
  const before = frameAt(times, time), after = Math.min(before + 1, times.length - 1);
  return Math.abs(times[after] - time) < Math.abs(times[before] - time) ? after : before;
}

/** Returns the spans [first, last] of indices at which `is(index)` holds. */
function spansOf(length, is) {
  const spans = [];
  for (let index = 0; index < length; index++) {
    if (!is(index)) continue;
    if (spans.length && spans.at(-1)[1] === index - 1) spans.at(-1)[1] = index;
    else spans.push([index, index]);
  }
  return spans;
}

/** Returns seconds as m:ss, with decimals if asked for. */
function clock(seconds, decimals = 0) {
  const scale = 10 ** decimals, rounded = Math.round(Math.max(0, seconds) * scale) / scale;
  const minutes = Math.floor(rounded / 60), rest = (rounded - 60 * minutes).toFixed(decimals);
  return `${minutes}:${rest.padStart(decimals ? decimals + 3 : 2, "0")}`;
}

/** Returns a value with its sign and two decimals; a dash if there is none. */
function signed(value) {
  if (!Number.isFinite(value)) return "\u2013";
  const text = Math.abs(value).toFixed(2);
  return (value < 0 && text !== "0.00" ? "\u2212" : "+") + text;
}

/** Returns the colour of a name in the style sheet, such as "ink" for --ink. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
