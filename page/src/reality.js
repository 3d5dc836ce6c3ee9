// The second part: a recorded lap, what V makes of it, and what M expected, step by step.

import { drawFrame, drawFromStrip, drawLine } from "./draw.js";
import { rowOf } from "./load.js";

const element = (id) => document.getElementById(id);

export class Reality {
  constructor({ contents, models, numbers, strip }) {
    Object.assign(this, { models, numbers, strip, columns: contents.columns });
    this.length = numbers.lap_rewards.shape[0];
    this.totals = [];
    numbers.lap_rewards.values.reduce((sum, r, n) => (this.totals[n] = sum + r), 0);
    this.slider = element("step");
    this.slider.max = this.length - 1;
    this.slider.value = Math.round(this.length / 3);
    this.slider.addEventListener("input", () => this.show());
    element("play").addEventListener("click", () => this.play(!this.playing));
    this.playing = false;
    this.busy = false;
  }

  play(playing) {
    this.playing = playing;
    element("play").textContent = playing ? "Stop" : "Play";
    if (playing) this.advance();
  }

  async advance() {
    while (this.playing) {
      await new Promise(requestAnimationFrame);
      const next = Number(this.slider.value) + 2; // two steps of 1/50 s
      if (next >= this.length) {
        this.slider.value = 0;
        this.play(false);
      } else {
        this.slider.value = next;
      }
      await this.show();
    }
  }

  /** Shows the step of the slider; while one is being drawn, only the last one asked for waits. */
  async show() {
    this.asked = true;
    if (this.busy) return;
    this.busy = true;
    while (this.asked) {
      this.asked = false;
      await this.draw(Number(this.slider.value));
    }
    this.busy = false;
  }

  async draw(step) {
    const { numbers, models } = this;
    drawFromStrip(element("track"), this.strip, this.columns, step);
    for (const [id, name] of [["seen", "lap_mu"], ["expected", "lap_expected"]]) {
      const { frames } = await models.decoder.run({ z: rowOf(numbers[name], step) });
      drawFrame(element(id), frames);
    }
    const [steering, gas, brake] = rowOf(numbers.lap_actions, step);
    const of = (name) => numbers[name].values[step];
    element("step-value").textContent = `step ${step + 1} of ${this.length}`;
    element("lap-told").textContent =
      `${this.totals[step].toFixed(0)} points so far; this step brought ` +
      `${of("lap_rewards").toFixed(1)}, and M expected ${of("lap_expected_rewards").toFixed(1)}. ` +
      `C steered ${steering.toFixed(2)}, gas ${gas.toFixed(2)}, brake ${brake.toFixed(2)}.`;
    drawLine(element("lap-points"), this.totals, step, -50, 950);
  }
}
