// The third part: V's latents, each under a slider, and the picture that V decodes from them.

import { drawBars, drawFrame } from "./draw.js";

const element = (id) => document.getElementById(id);
const RANGE = 3; // standard deviations to each side

export class Latents {
  constructor({ contents, models, numbers }) {
    this.models = models;
    this.centre = numbers.latent_centre.values;
    this.spread = numbers.latent_spread.values;
    this.z = Float32Array.from(this.centre);
    this.sliders = [];
    const used = [...this.spread.keys()].filter((n) => this.spread[n] ** 2 > contents.in_use_above);
    used.sort((a, b) => this.spread[b] - this.spread[a]);
    for (const n of used) this.add(n);
    element("latents-told").textContent =
      `${used.length} of ${this.z.length} latents are in use, the widest first.`;
    element("mean").addEventListener("click", () => this.set(this.centre));
    this.busy = false;
  }

  add(n) {
    const label = document.createElement("label");
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: -RANGE, max: RANGE, step: 0.05, value: 0 });
    slider.dataset.latent = n;
    label.append(`z ${n + 1}`, slider);
    element("sliders").append(label);
    slider.addEventListener("input", () => {
      this.z[n] = this.centre[n] + Number(slider.value) * this.spread[n];
      this.show(n);
    });
    this.sliders.push(slider);
  }

  /** Shows the latents `z` [Z], in units of their own. */
  set(z) {
    this.z = Float32Array.from(z);
    for (const slider of this.sliders) {
      const n = Number(slider.dataset.latent);
      slider.value = (z[n] - this.centre[n]) / this.spread[n];
    }
    this.show();
  }

  async show(marked = -1) {
    this.asked = true;
    if (this.busy) return;
    this.busy = true;
    while (this.asked) {
      this.asked = false;
      const { frames } = await this.models.decoder.run({ z: this.z });
      drawFrame(element("decoded"), frames);
      const standard = this.z.map((value, n) => (value - this.centre[n]) / this.spread[n]);
      drawBars(element("bars"), standard, RANGE, marked);
    }
    this.busy = false;
  }
}
