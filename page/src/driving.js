// The first part of the page: the dream, and who drives in it.

import { Controls } from "./controls.js";
import { Dream, LOST_AT } from "./dream.js";
import { drawFrame } from "./draw.js";

const STEPS_PER_SECOND = 50; // of CarRacing
const AVERAGED = 60; // pictures over which the frame rate is averaged

const element = (id) => document.getElementById(id);

/** Runs the dream on the page; `onStep(z, memory, action)` after each step that was drawn. */
export class Driving {
  constructor(loaded, onStep) {
    this.models = loaded.models;
    this.dream = new Dream(loaded.models, loaded.numbers);
    this.onStep = onStep;
    this.byC = true;
    this.running = true;
    this.over = false;
    this.moment = 0;
    this.drawn = [];
    this.canvas = element("dream");
    this.controls = new Controls(this.canvas, () => this.take());
    element("driver").addEventListener("click", () => (this.byC ? this.take() : this.handOver()));
    element("another").addEventListener("click", () => this.another());
    element("pause").addEventListener("click", () => this.pause(this.running));
    element("temperature").addEventListener("input", () => this.showTemperature());
    element("sampled").addEventListener("change", () => this.showTemperature());
    document.addEventListener("keydown", (event) => {
      const typed = event.target instanceof HTMLInputElement;
      if (event.code === "KeyR" && !typed && !event.ctrlKey && !event.metaKey) this.another();
    });
    this.showTemperature();
    this.showDriver();
  }

  /** The visitor takes the wheel. */
  take() {
    if (this.over) return;
    if (this.byC) {
      this.byC = false;
      this.say("You drive.");
      this.showDriver();
    }
    this.pause(false);
  }

  handOver() {
    this.byC = true;
    this.say("C drives.");
    this.showDriver();
    this.pause(false);
  }

  pause(paused) {
    this.running = !paused;
    element("pause").textContent = paused ? "Go on" : "Pause";
  }

  /** Begins again, at another recorded moment. */
  another(index = (this.moment + 1) % this.dream.count) {
    this.moment = index;
    this.dream.begin(index);
    this.over = false;
    element("ended").hidden = true;
    this.pause(false);
    this.say(`A dream from recorded moment ${index + 1} of ${this.dream.count}.`);
  }

  get options() {
    return {
      temperature: Number(element("temperature").value),
      sampled: element("sampled").checked,
    };
  }

  showTemperature() {
    element("temperature-value").textContent = this.options.temperature.toFixed(2);
    element("temperature").disabled = !this.options.sampled;
  }

  showDriver() {
    element("driver").textContent = this.byC ? "Take the wheel" : "Let C drive";
    element("who").textContent = this.byC ? "C drives" : "You drive";
  }

  /** For those who listen to the page. */
  say(text) {
    element("told").textContent = text;
  }

  /** Takes one step, draws it, and shows what M expects. */
  async step() {
    const action = this.byC ? await this.dream.act() : this.controls.action();
    await this.dream.step(action, this.options);
    await this.draw();
    this.show(action);
    if (this.dream.lost >= LOST_AT) {
      this.over = true;
      this.pause(true);
      element("ended").hidden = false;
      this.say("M takes the car for lost. Another start begins a new dream.");
    }
    this.onStep(this.dream.z, this.dream.memory, action);
  }

  async draw() {
    const { frames } = await this.models.decoder.run({ z: this.dream.z });
    drawFrame(this.canvas, frames);
    this.drawn.push(performance.now());
    if (this.drawn.length > AVERAGED) this.drawn.shift();
  }

  /** Pictures per second, over the last ones. */
  get rate() {
    const { drawn } = this;
    return drawn.length < 2 ? 0 : (1000 * (drawn.length - 1)) / (drawn.at(-1) - drawn[0]);
  }

  show(action) {
    const { dream } = this;
    element("points").textContent = dream.points.toFixed(0);
    element("reward").textContent = dream.reward.toFixed(2);
    element("lost").textContent = `${(100 * dream.lost).toFixed(0)} %`;
    element("lost-meter").value = dream.lost;
    element("speed").textContent = `${dream.speed.toFixed(0)} m/s`;
    element("steps").textContent = dream.steps;
    element("rate").textContent = `${this.rate.toFixed(0)} per second`;
    element("wheel").style.transform = `rotate(${(90 * action[0]).toFixed(1)}deg)`;
    element("gas").value = action[1];
    element("brake").value = action[2];
  }

  /** Runs for as long as the page is open, at the car's own pace where the machine keeps up. */
  async run() {
    let due = performance.now();
    for (;;) {
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      if (!this.running || document.hidden) {
        due = now;
        this.drawn.length = 0;
        continue;
      }
      if (now < due) continue;
      due = Math.max(due + 1000 / STEPS_PER_SECOND, now - 100);
      await this.step();
    }
  }
}
