/**
 * Returns the rows of `columns` from `low` to `high` for drawing on `width` pixels.
 *
 * The first column holds the times. If there are more rows than pixels can show, each pixel keeps
 * the least and the greatest value of every column, in the order in which they occur.
 */
function thin(columns, low, high, width) {
  const first = Math.max(0, frameAt(columns[0], low) - 1);
  const end = Math.min(columns[0].length, frameAt(columns[0], high) + 3);
  const pixels = Math.max(1, Math.ceil(width));
  if (end - first <= 4 * pixels) return columns.map(column => column.slice(first, end));
  const edges = Array.from({ length: pixels + 1 }, (_, pixel) =>
    first + Math.floor(pixel * (end - first) / pixels));
  const times = edges.slice(1).flatMap((next, pixel) =>
    [columns[0][edges[pixel]], columns[0][next - 1]]);
  return [times, ...columns.slice(1).map(column =>
    edges.slice(1).flatMap((next, pixel) => extremes(column, edges[pixel], next)))];
}

/** Returns the least and the greatest number of a part of a column, in order; or two nulls. */
function extremes(column, first, end) {
  let least = -1, greatest = -1;
  for (let row = first; row < end; row++) {
    const value = column[row];
    if (value === null) continue;
    if (least < 0 || value < column[least]) least = row;
    if (greatest < 0 || value > column[greatest]) greatest = row;
  }
  if (least < 0) return [null, null];
  return [column[Math.min(least, greatest)], column[Math.max(least, greatest)]];
}
