// Draws frames, bars and weights on canvases, in the colours of the page.

export const SIZE = 64; // pixels of a frame's side
const LABELS = 16; // CSS px of a line of labels
const INSET = 8; // CSS px: half the thumb of a slider, whose ends a line is to meet

/** The colour that style.css gives a custom property. */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A frame [64 * 64 * 3] in [0, 1], as the decoder gives it. */
export function drawFrame(canvas, frame) {
  const image = new ImageData(SIZE, SIZE);
  for (let pixel = 0; pixel < SIZE * SIZE; pixel++) {
    for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = 255 * frame[3 * pixel + c];
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Frame `index` of a strip with `columns` frames to a row. */
export function drawFromStrip(canvas, strip, columns, index) {
  const [left, top] = [(index % columns) * SIZE, Math.floor(index / columns) * SIZE];
  canvas.getContext("2d").drawImage(strip, left, top, SIZE, SIZE, 0, 0, SIZE, SIZE);
}

/** A canvas at the device's resolution, cleared; returns its context, width and height in CSS px. */
function prepare(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Text at a place of a canvas; `align` as the canvas names it. */
function write(context, text, x, y, align = "left") {
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = colour("--soft");
  context.textAlign = align;
  context.textBaseline = "middle";
  context.fillText(text, x, y);
}

/**
 * Values as bars from a line in the middle, which is 0; the ends are at +-`limit`. Every fourth
 * has its name below, and so has the one at `marked`, which is framed.
 */
export function drawBars(canvas, values, limit, names, marked = -1) {
  const { context, width, height } = prepare(canvas);
  const [wide, high] = [width / values.length, height - LABELS];
  const middle = high / 2;
  values.forEach((value, n) => {
    const long = Math.max(-1, Math.min(1, value / limit)) * middle;
    context.fillStyle = colour(value < 0 ? "--below" : "--above");
    context.fillRect(n * wide + 0.5, middle - Math.max(long, 0), wide - 1, Math.abs(long));
    const named = marked < 0 ? n % 4 === 0 : n === marked;
    if (named) write(context, names[n], (n + 0.5) * wide, high + LABELS / 2, "center");
  });
  context.fillStyle = colour("--line");
  context.fillRect(0, middle - 0.5, width, 1);
  if (marked < 0) return;
  context.strokeStyle = colour("--text");
  context.strokeRect(marked * wide + 0.5, 0.5, Math.max(wide - 1, 2), high - 1);
}

/**
 * Weights [rows, features] as cells, and the biases [rows] as a last column, each row's largest in
 * full colour. `rows` are their names; a line parts V's latents from M's memory, and below each
 * row are marks at the columns `marked` [rows].
 */
export function drawWeights(canvas, weights, bias, { rows, latents, features }, marked) {
  const { context, width, height } = prepare(canvas);
  const left = 62;
  const biases = 34;
  const wide = (width - left - biases) / features;
  const high = (height - LABELS) / rows.length;
  const [above, below, text] = ["--above", "--below", "--text"].map(colour);
  const cell = (value, x, top, size) => {
    context.globalAlpha = Math.abs(value);
    context.fillStyle = value < 0 ? below : above;
    context.fillRect(x, top + 1, size, high - 8);
    context.globalAlpha = 1;
  };
  rows.forEach((name, row) => {
    const top = LABELS + row * high;
    const line = weights.slice(row * features, (row + 1) * features);
    const largest = line.reduce((a, b) => Math.max(a, Math.abs(b)), Math.abs(bias[row]) || 1e-9);
    write(context, name, 0, top + high / 2 - 3);
    line.forEach((weight, n) => cell(weight / largest, left + n * wide, top, Math.max(wide, 1)));
    cell(bias[row] / largest, width - biases + 10, top, biases - 10);
    context.fillStyle = text;
    for (const n of marked[row]) context.fillRect(left + n * wide - 1, top + high - 5, 3, 4);
  });
  const split = left + latents * wide;
  context.fillStyle = text;
  context.fillRect(split - 0.75, LABELS, 1.5, height - LABELS);
  write(context, "V's", left, LABELS / 2);
  write(context, "M's memory", split + 4, LABELS / 2);
  write(context, "bias", width, LABELS / 2, "right");
}

/** A lap's values along its steps as a line, with a mark at `step` and the last value in words. */
export function drawLine(canvas, values, step, low, high) {
  const { context, width, height } = prepare(canvas);
  const x = (n) => INSET + (n / (values.length - 1)) * (width - 2 * INSET);
  const y = (value) => height - ((value - low) / (high - low)) * height;
  context.fillStyle = colour("--line");
  context.fillRect(INSET, y(0) - 0.5, width - 2 * INSET, 1);
  context.strokeStyle = colour("--above");
  context.beginPath();
  values.forEach((value, n) => context.lineTo(x(n), y(value)));
  context.stroke();
  context.fillStyle = colour("--accent");
  context.fillRect(x(step) - 1, 0, 2, height);
  write(context, "0 points", INSET + 4, y(0) - 9);
  write(context, values.at(-1).toFixed(0), width - INSET, y(values.at(-1)) + 14, "right");
}
