// Draws frames, bars and weights on canvases, in the colours of the page.

export const SIZE = 64; // pixels of a frame's side

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

/** Values as bars from a line in the middle, which is 0; the ends are at +-`limit`. */
export function drawBars(canvas, values, limit, marked = -1) {
  const { context, width, height } = prepare(canvas);
  const wide = width / values.length;
  values.forEach((value, n) => {
    const high = (Math.max(-1, Math.min(1, value / limit)) * height) / 2;
    context.fillStyle = colour(n === marked ? "--accent" : value < 0 ? "--below" : "--above");
    context.fillRect(n * wide + 0.5, height / 2 - Math.max(high, 0), wide - 1, Math.abs(high));
  });
  context.fillStyle = colour("--line");
  context.fillRect(0, height / 2 - 0.5, width, 1);
}

/** Weights [rows, columns] as cells, each row's largest in full colour. */
export function drawWeights(canvas, weights, rows, columns, split) {
  const { context, width, height } = prepare(canvas);
  const [wide, high] = [width / columns, height / rows];
  const [above, below] = [colour("--above"), colour("--below")];
  for (let row = 0; row < rows; row++) {
    const line = weights.slice(row * columns, (row + 1) * columns);
    const largest = line.reduce((a, b) => Math.max(a, Math.abs(b)), 1e-9);
    line.forEach((weight, column) => {
      context.globalAlpha = Math.abs(weight) / largest;
      context.fillStyle = weight < 0 ? below : above;
      context.fillRect(column * wide, row * high + 1, Math.max(wide, 1), high - 2);
    });
  }
  context.globalAlpha = 1;
  context.fillStyle = colour("--line");
  context.fillRect(split * wide - 0.5, 0, 1, height);
}

/** A lap's values along its steps as a line, with a mark at `step`. */
export function drawLine(canvas, values, step, low, high) {
  const { context, width, height } = prepare(canvas);
  const y = (value) => height - ((value - low) / (high - low)) * height;
  context.strokeStyle = colour("--above");
  context.beginPath();
  values.forEach((value, n) => context.lineTo((n / (values.length - 1)) * width, y(value)));
  context.stroke();
  context.fillStyle = colour("--accent");
  context.fillRect((step / (values.length - 1)) * width - 1, 0, 2, height);
}
