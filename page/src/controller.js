// The fourth part: C's numbers, and which inputs decide its action in the dream right now.

import { drawWeights } from "./draw.js";

const element = (id) => document.getElementById(id);
const OUTPUTS = ["steering", "gas", "brake"];
const SHOWN = 5; // inputs per output
const EVERY = 5; // steps

export class ControllerView {
  constructor({ contents, numbers }) {
    this.features = contents.features;
    this.weights = numbers.controller_weight.values;
    this.bias = numbers.controller_bias.values;
    this.latents = numbers.latent_centre.shape[0];
    this.steps = 0;
    for (const name of OUTPUTS) {
      const item = document.createElement("div");
      item.innerHTML = `<h3>${name}</h3><ol id="inputs-of-${name}"></ol>`;
      element("contributions").append(item);
    }
    this.drawWeights();
    window.addEventListener("resize", () => this.drawWeights());
  }

  drawWeights() {
    drawWeights(element("weights"), this.weights, OUTPUTS.length, this.features, this.latents);
  }

  nameOf(feature) {
    return feature < this.latents ? `z ${feature + 1}` : `h ${feature - this.latents + 1}`;
  }

  /** What each input adds to output `row` before its tanh, the largest first: [feature, share]. */
  contributions(row, z, memory) {
    const inputs = [...z, ...memory];
    const shares = inputs.map((x, n) => [n, x * this.weights[row * this.features + n]]);
    return shares.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  }

  /** Shows what decided at z [Z] and the memory h [H]. */
  show(z, memory) {
    if (this.steps++ % EVERY) return;
    OUTPUTS.forEach((name, row) => {
      const shares = this.contributions(row, z, memory);
      const sum = shares.reduce((total, [, share]) => total + share, this.bias[row]);
      const lines = shares
        .slice(0, SHOWN)
        .map(([n, share]) => `<li>${this.nameOf(n)}: ${share >= 0 ? "+" : "−"}${Math.abs(share).toFixed(2)}</li>`);
      element(`inputs-of-${name}`).innerHTML =
        lines.join("") + `<li class="sum">all ${this.features}, and the bias: ${sum.toFixed(2)}</li>`;
    });
  }
}
