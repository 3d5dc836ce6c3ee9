// The second part: a recorded lap, what V makes of it, and what M expected, step by step.

import { element, latestOnly } from "./dom.js";
import { STEPS_PER_SECOND } from "./dream.js";
import { drawFrame, drawFromStrip, drawLine } from "./draw.js";
import { rowOf } from "./load.js";

const COUNTED = 25; // steps whose points are compared
const FIRST = 1; // step that is shown: M expected nothing before

export class Reality {
  constructor({ contents, models, numbers, strip }) {
    Object.assign(this, { models, numbers, strip, columns: contents.columns });
    this.length = numbers.lap_rewards.shape[0];
    this.points = sumUp(numbers.lap_rewards.values);
    this.expected = sumUp(numbers.lap_expected_rewards.values);
    this.show = latestOnly(() => this.draw(Number(this.slider.value)));
    this.playing = null; // a new object for each time that it is played
    this.slider = element("step");
    this.slider.min = FIRST;
    this.slider.max = this.length - 1;
    this.slider.value = Math.round(this.length / 3);
    this.slider.addEventListener("input", () => {
      this.stop();
      this.show();
    });
    element("play").addEventListener("click", () => (this.playing ? this.stop() : this.play()));
  }

  stop() {
    this.playing = null;
    element("play").textContent = "Play";
  }

  /** Plays the lap from the slider's step on, or from its start if that is the last, as fast as
   *  it was driven. */
  async play() {
    const own = (this.playing = {});
    element("play").textContent = "Stop";
    const last = this.length - 1;
    let at = Number(this.slider.value) < last ? Number(this.slider.value) : FIRST;
    let before = performance.now();
    while (this.playing === own) {
      const now = await new Promise(requestAnimationFrame);
      at = Math.min(last, at + (Math.max(0, now - before) / 1000) * STEPS_PER_SECOND);
      before = now;
      this.slider.value = Math.floor(at);
      await this.show();
      if (at === last && this.playing === own) this.stop();
    }
  }

  async draw(step) {
    const { numbers, models } = this;
    drawFromStrip(element("track"), this.strip, this.columns, step);
    for (const [id, name] of [["seen", "lap_mu"], ["expected", "lap_expected"]]) {
      const { frames } = await models.decoder.run({ z: rowOf(numbers[name], step) });
      drawFrame(element(id), frames);
    }
    const [steering, gas, brake] = rowOf(numbers.lap_actions, step);
    const place = `step ${step + 1} of ${this.length}`;
    element("step-value").textContent = place;
    this.slider.setAttribute("aria-valuetext", place);
    const recent = (sums) => (sums[step] - (sums[step - COUNTED] ?? 0)).toFixed(0);
    element("lap-told").textContent =
      `${this.points[step].toFixed(0)} points so far; the last ${Math.min(COUNTED, step + 1)} steps brought ` +
      `${recent(this.points)}, where M expected ${recent(this.expected)}. ` +
      `C steered ${steering.toFixed(2)}, gas ${gas.toFixed(2)}, brake ${brake.toFixed(2)}.`;
    drawLine(element("lap-points"), this.points, step, -50, 950);
  }
}

/** The sums of the values up to each. */
function sumUp(values) {
  let sum = 0;
  return Array.from(values, (value) => (sum += value));
}
