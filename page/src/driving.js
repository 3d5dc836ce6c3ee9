// The first part of the page: the dream, and who drives in it.

import { Controls } from "./controls.js";
import { Dream, LOST_AT, STEPS_PER_SECOND, STRANGE_AT } from "./dream.js";
import { element, watchView } from "./dom.js";
import { drawFrame } from "./draw.js";

const AVERAGED = 60; // pictures over which the frame rate is averaged
const TOLD_EVERY = 150; // steps, to those who listen to the page

/** Runs the dream on the page; `onStep(z, memory)` after each step that was drawn. */
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
    this.picture = {}; // whether it can be seen, for keys to steer
    watchView([this.canvas], this.picture, 0.5);
    watchView([element("part-dream"), element("part-controller")], this);
    this.controls = new Controls(this.canvas, {
      isHere: () => this.hasKeys(),
      onUse: (event) => this.use(event),
      onAgain: () => this.another(),
    });
    element("driver").addEventListener("click", () => this.changeDriver());
    for (const id of ["another", "again"]) {
      element(id).addEventListener("click", () => this.another());
    }
    element("pause").addEventListener("click", () => this.pause(this.running));
    element("temperature").addEventListener("input", () => this.showTemperature());
    element("sampled").addEventListener("change", () => this.showTemperature());
    this.showTemperature();
    this.showDriver();
  }

  /** True where keys are meant for the car: its picture is in view, and nothing else has them. */
  hasKeys() {
    const active = document.activeElement ?? document.body;
    return active === document.body
      ? this.picture.inView
      : element("part-dream").contains(active);
  }

  /** A key or a finger takes the wheel; a finger also begins again what is over. */
  use(event) {
    if (this.over && event.type === "pointerdown") this.another();
    if (!this.over) this.take();
  }

  /** Hands the wheel over, to C or to the visitor; what is over begins again. */
  changeDriver() {
    if (this.over) this.another();
    if (this.byC) this.take();
    else this.handOver();
  }

  /** The visitor takes the wheel. */
  take() {
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

  pause(paused, label = "Go on") {
    this.running = !paused;
    element("pause").textContent = paused ? label : "Pause";
    element("pause").hidden = this.over;
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

  /** Ends the dream, and says why. */
  end(reason) {
    this.over = true;
    this.pause(true);
    element("ended").hidden = false;
    element("reason").textContent = reason;
    this.say(`${reason} R, or the button Begin again, begins a new dream.`);
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
    if (this.dream.lost >= LOST_AT) this.end("M takes the car for lost.");
    else if (this.dream.strangeness >= STRANGE_AT) this.end("M has never seen anything like this.");
    else if (!this.byC && this.dream.steps % TOLD_EVERY === 0) this.say(this.inWords());
    this.onStep(this.dream.z, this.dream.memory);
  }

  /** How it goes, in words. */
  inWords() {
    const { speed, offRoad, lost, points } = this.dream;
    const place = offRoad > 0.5 ? "off the road" : "on the road";
    return (
      `${speed.toFixed(0)} metres per second, ${place}, ${points.toFixed(0)} points, ` +
      `lost with ${(100 * lost).toFixed(0)} percent.`
    );
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
    for (const [id, chance] of [["lost", dream.lost], ["off-road", dream.offRoad]]) {
      element(id).textContent = `${(100 * chance).toFixed(0)} %`;
      element(`${id}-meter`).value = chance;
    }
    element("speed").textContent = `${dream.speed.toFixed(0)} m/s`;
    element("steps").textContent = dream.steps;
    element("rate").textContent = `${this.rate.toFixed(0)} per second`;
    element("wheel").style.transform = `rotate(${(90 * action[0]).toFixed(1)}deg)`;
    element("gas").value = action[1];
    element("brake").value = action[2];
  }

  /** Runs for as long as the page is open, at the car's own pace where the machine keeps up, and
   *  only while what it shows can be seen. */
  async run() {
    let due = performance.now();
    for (;;) {
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      if (!this.running || !this.inView || document.hidden) {
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
