// The fourth part: C's numbers, and which inputs decide its action in the dream right now.

import { element } from "./dom.js";
import { drawWeights } from "./draw.js";

const OUTPUTS = ["steering", "gas", "brake"];
const SHOWN = 5; // inputs per output
const EVERY = 25; // steps: half a second

export class ControllerView {
  constructor({ contents, numbers }) {
    this.features = contents.features;
    this.weights = numbers.controller_weight.values;
    this.bias = numbers.controller_bias.values;
    this.latents = numbers.latent_centre.shape[0];
    this.steps = 0;
    this.deciding = OUTPUTS.map(() => []); // the inputs shown for each output
    this.lists = OUTPUTS.map((name) => new List(name));
  }

  draw() {
    const shape = { rows: OUTPUTS, latents: this.latents, features: this.features };
    drawWeights(element("weights"), this.weights, this.bias, shape, this.deciding);
  }

  nameOf(feature) {
    return feature < this.latents
      ? `picture ${feature + 1}`
      : `memory ${feature - this.latents + 1}`;
  }

  /** What each input adds to output `row` before its tanh, the largest first: [feature, share]. */
  contributions(row, z, memory) {
    const inputs = [...z, ...memory];
    const shares = inputs.map((x, n) => [n, x * this.weights[row * this.features + n]]);
    return shares.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  }

  /** Shows what decided at z [Z] and the memory h [H], twice a second. */
  show(z, memory) {
    if (this.steps++ % EVERY) return;
    OUTPUTS.forEach((_, row) => {
      const shares = this.contributions(row, z, memory);
      const sum = shares.reduce((total, [, share]) => total + share, this.bias[row]);
      const first = shares.slice(0, SHOWN);
      this.deciding[row] = first.map(([n]) => n);
      this.lists[row].show(first.map(([n, share]) => [this.nameOf(n), share]), sum);
    });
    this.draw();
  }
}

/** The inputs that decide an output, each with a bar. */
class List {
  constructor(name) {
    const item = document.createElement("div");
    const title = document.createElement("h3");
    title.textContent = name;
    const list = document.createElement("ol");
    this.rows = Array.from({ length: SHOWN }, () => {
      const [row, label, bar] = ["li", "span", "span"].map((tag) => document.createElement(tag));
      row.append(label, bar);
      bar.className = "share";
      list.append(row);
      return { label, bar };
    });
    this.sum = document.createElement("p");
    this.sum.className = "sum";
    item.append(title, list, this.sum);
    element("contributions").append(item);
  }

  /** Shows [name, share] of the inputs, the largest first, and the sum of all inputs. */
  show(shares, sum) {
    const largest = Math.max(Math.abs(shares[0][1]), 1e-9);
    shares.forEach(([name, share], n) => {
      const { label, bar } = this.rows[n];
      label.textContent = `${name}: ${signed(share)}`;
      bar.style.width = `${(100 * Math.abs(share)) / largest}%`;
      bar.classList.toggle("negative", share < 0);
    });
    this.sum.textContent = `all inputs together: ${signed(sum)}`;
  }
}

const signed = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;
