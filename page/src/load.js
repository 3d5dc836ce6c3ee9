// Fetches the files that `contents.json` lists, checks them, and opens the models.

import * as ort from "../ort/ort.wasm.min.mjs";

/** Something that a visitor should be told, in words for him. */
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

async function fetchBytes(name) {
  let answer;
  try {
    answer = await fetch(`data/${name}`);
  } catch {
    throw new Trouble(`The file data/${name} could not be fetched. Is there a connection?`);
  }
  if (!answer.ok) {
    throw new Trouble(`The file data/${name} is missing (${answer.status}). "make page" makes it.`);
  }
  return new Uint8Array(await answer.arrayBuffer());
}

/** The bytes of a file, which must be those that `contents` names. */
async function fetchChecked(name, contents) {
  const bytes = await fetchBytes(name);
  const { bytes: size, crc32: expected } = contents.files[name];
  if (bytes.length !== size || crc32(bytes) !== expected) {
    throw new Trouble(
      `The file data/${name} is damaged: ${bytes.length} of ${size} bytes came, or others than ` +
        `were sent. Load the page again; "make page" makes the file again.`,
    );
  }
  return bytes;
}

async function fetchContents() {
  const text = new TextDecoder().decode(await fetchBytes("contents.json"));
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

/** All that the page has: `models` by name, `numbers` by name, the lap's `strip`, `contents`. */
export async function load(progress = () => {}) {
  if (typeof WebAssembly !== "object") {
    throw new Trouble("This page needs WebAssembly, which this browser does not have, or not on.");
  }
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("../ort/", import.meta.url).href;
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
  const models = {};
  for (const name of names.filter((name) => name.endsWith(".onnx"))) {
    try {
      models[name.replace(".onnx", "")] = new Model(await ort.InferenceSession.create(files[name]));
    } catch (error) {
      throw new Trouble(`The model data/${name} could not be opened (${error.message}).`);
    }
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
