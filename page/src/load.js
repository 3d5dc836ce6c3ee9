// Fetches the files that `contents.json` lists, checks them, and opens the models.

const RUNTIME = "ort/ort.wasm.min.mjs";
const BINARY = "ort/ort-wasm-simd-threaded.wasm";
let ort; // onnxruntime-web, once it is loaded

/** Something that a visitor should be told, in plain words. */
export class Trouble extends Error {}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** The CRC-32 of bytes, as zlib computes it. */
export function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** The bytes of a file; `query` makes its address that of its present content. */
async function fetchBytes(path, { query = "", cache = "default" } = {}) {
  let answer;
  let bytes;
  try {
    answer = await fetch(`${path}${query}`, { cache });
    bytes = new Uint8Array(await answer.arrayBuffer());
  } catch {
    throw new Trouble(`The file ${path} could not be fetched. Is there a connection?`);
  }
  if (answer.ok) return bytes;
  throw new Trouble(`The file ${path} is missing (${answer.status}). "make page" makes it.`);
}

/** The bytes of a file, which must be those that `contents` names. */
async function fetchChecked(name, contents) {
  const { bytes: size, crc32: expected } = contents.files[name];
  const bytes = await fetchBytes(`data/${name}`, { query: `?${expected.toString(16)}` });
  if (bytes.length !== size || crc32(bytes) !== expected) {
    throw new Trouble(
      `The file data/${name} is damaged: ${bytes.length} of ${size} bytes arrived, or their ` +
        `checksum is wrong. Load the page again; "make page" makes the file again.`,
    );
  }
  return bytes;
}

async function fetchContents() {
  const bytes = await fetchBytes("data/contents.json", { cache: "no-cache" });
  const text = new TextDecoder().decode(bytes);
  try {
    return JSON.parse(text);
  } catch {
    throw new Trouble(`The file data/contents.json is damaged. "make page" makes it again.`);
  }
}

/** A model: an ONNX file, whose inputs and outputs are Float32Arrays of one row, by name. */
class Model {
  static last = Promise.resolve(); // WebAssembly runs one model at a time

  constructor(session) {
    this.session = session;
  }

  /** Runs the model, after all calls before this one. */
  async run(inputs) {
    const before = Model.last;
    let release;
    Model.last = new Promise((resolve) => (release = resolve));
    await before;
    try {
      const feeds = {};
      for (const [name, values] of Object.entries(inputs)) {
        feeds[name] = new ort.Tensor("float32", values, [1, values.length]);
      }
      const told = await this.session.run(feeds);
      return Object.fromEntries(Object.entries(told).map(([name, tensor]) => [name, tensor.data]));
    } finally {
      release();
    }
  }
}

/** A module that uses SIMD, empty otherwise: valid where the browser has it. */
const WITH_SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15,
  253, 98, 11,
);

/** Loads onnxruntime-web. */
async function loadRuntime() {
  if (typeof WebAssembly !== "object" || !WebAssembly.validate(WITH_SIMD)) {
    throw new Trouble(
      "This page needs WebAssembly with SIMD, which this browser does not have or has turned off.",
    );
  }
  const binary = fetchBytes(BINARY);
  binary.catch(() => {}); // told below
  try {
    ort = await import(`../${RUNTIME}`);
  } catch (error) {
    throw new Trouble(`The file ${RUNTIME} is missing or damaged (${error.message}).`);
  }
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("../ort/", import.meta.url).href;
  ort.env.wasm.wasmBinary = await binary;
}

/** The model in the file `name`, whose bytes are checked already. */
async function openModel(name, bytes) {
  try {
    return new Model(await ort.InferenceSession.create(bytes));
  } catch (error) {
    const runtime = /backend|wasm/i.test(error.message); // not the model's fault
    const what = runtime ? "The runtime in ort/ could not be started" : `data/${name} is not a valid model`;
    throw new Trouble(`${what} (${error.message}). Load the page again, or rebuild it with "make page".`);
  }
}

/** All that the page has: `models` by name, `numbers` by name, the lap's `strip`, `contents`. */
export async function load(progress = () => {}) {
  const runtime = loadRuntime();
  runtime.catch(() => {}); // told below
  const contents = await fetchContents();
  const names = Object.keys(contents.files);
  let loaded = 0;
  const files = Object.fromEntries(
    await Promise.all(
      names.map(async (name) => {
        const bytes = await fetchChecked(name, contents);
        progress(++loaded / (names.length + 1));
        return [name, bytes];
      }),
    ),
  );
  await runtime;
  const models = {};
  for (const name of names.filter((name) => name.endsWith(".onnx"))) {
    models[name.replace(".onnx", "")] = await openModel(name, files[name]);
  }
  const numbers = {};
  for (const [name, { shape, offset }] of Object.entries(contents.arrays)) {
    const count = shape.reduce((a, b) => a * b, 1);
    numbers[name] = { shape, values: new Float32Array(files["numbers.bin"].buffer, offset, count) };
  }
  const strip = await createImageBitmap(new Blob([files["lap.png"]], { type: "image/png" }));
  progress(1);
  return { contents, models, numbers, strip };
}

/** Row `index` of an array of `numbers`, a copy. */
export function rowOf({ shape, values }, index) {
  const width = shape.slice(1).reduce((a, b) => a * b, 1);
  return values.slice(index * width, (index + 1) * width);
}
