/** Reads the columns that `pack_columns` wrote; a missing number becomes null, as uPlot wants. */
function readColumns(buffer) {
  const [length, count] = new Uint32Array(buffer.slice(0, 8));
  const planes = new Uint8Array(buffer, 8);
  return Array.from({ length: count }, (_, column) => {
    const plane = place => planes.subarray((4 * column + place) * length);
    const [top, high, low, bottom] = [0, 1, 2, 3].map(plane);
    const numbers = new Array(length);
    let multiple = 0;
    for (let i = 0; i < length; i++) {
      const unsigned = top[i] << 24 | high[i] << 16 | low[i] << 8 | bottom[i];
      multiple = multiple + ((unsigned >>> 1) ^ -(unsigned & 1)) | 0;
      numbers[i] = multiple === -0x80000000 ? null : multiple / 10000;
    }
    return numbers;
  });
}
