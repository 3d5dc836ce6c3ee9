// The third part: V's latents, each under a slider, and the picture that V decodes from them.

import { element, latestOnly } from "./dom.js";
import { drawBars, drawFrame } from "./draw.js";

const RANGE = 3; // standard deviations to each side

export class Latents {
  constructor({ contents, models, numbers }) {
    this.models = models;
    this.centre = numbers.latent_centre.values;
    this.spread = numbers.latent_spread.values;
    this.z = Float32Array.from(this.centre);
    this.moved = null; // the latent whose slider was moved last
    this.show = latestOnly(() => this.draw());
    const floor = Math.fround(contents.std_floor); // of the spread: that of a latent not in use
    const used = [...this.spread.keys()].filter((n) => this.spread[n] > floor);
    this.order = used.sort((a, b) => this.spread[b] - this.spread[a]); // of sliders and bars
    this.sliders = this.order.map((n) => this.addSlider(n));
    element("latents-told").textContent =
      `V uses ${used.length} of its ${this.z.length} numbers. Those that vary most come first.`;
    element("mean").addEventListener("click", () => this.set(this.centre));
  }

  addSlider(n) {
    const label = document.createElement("label");
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: -RANGE, max: RANGE, step: 0.05, value: 0 });
    label.append(`number ${n + 1}`, slider);
    element("sliders").append(label);
    slider.addEventListener("input", () => {
      this.z[n] = this.centre[n] + Number(slider.value) * this.spread[n];
      this.moved = n;
      this.show();
    });
    return slider;
  }

  /** The latents in use in standard deviations, in the order of the sliders. */
  get standard() {
    return this.order.map((n) => (this.z[n] - this.centre[n]) / this.spread[n]);
  }

  /** Shows the latents `z` [Z], in units of their own. */
  set(z) {
    this.z = Float32Array.from(z);
    this.moved = null;
    this.standard.forEach((value, place) => (this.sliders[place].value = value));
    this.show();
  }

  async draw() {
    const { frames } = await this.models.decoder.run({ z: this.z });
    drawFrame(element("decoded"), frames);
    const names = this.order.map((n) => String(n + 1));
    drawBars(element("bars"), this.standard, RANGE, names, this.order.indexOf(this.moved));
  }
}
