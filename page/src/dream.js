// A dream: M rolls on from a recorded moment. Step by step what worldmodels/dream/environment.py
// and worldmodels/dream/step.py compute, for one dream, without costs and without noise of sight.

import { rowOf } from "./load.js";

export const STEPS_PER_SECOND = 50; // of CarRacing
export const LOST_AT = 0.9; // probability of a loss at which the page ends a dream
export const STRANGE_AT = 20; // standard deviations, beyond all that M has seen, at which it ends

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** Noise for a step: for each latent a number in (0, 1), which picks a component, and a normal. */
export function drawNoise(latents) {
  const uniform = () => (Math.floor(Math.random() * 0xffffffff) + 0.5) / 0x100000000;
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return { pick: Float64Array.from({ length: latents }, uniform),
           normal: Float64Array.from({ length: latents }, normal) };
}

/**
 * The next latents at unit variance [Z], from mixtures of K Gaussians each.
 *
 * `sampled`: a component is drawn with its logits divided by the temperature, and from it with
 * sigma times the root of it (the paper's); else the mean of the mixture is taken.
 */
export function nextLatents({ log_weights, means, log_sigmas }, latents, options, noise) {
  const { temperature, sampled } = options;
  const mixtures = log_weights.length / latents;
  const root = Math.sqrt(temperature);
  const next = new Float64Array(latents);
  const weights = new Float64Array(mixtures);
  for (let latent = 0; latent < latents; latent++) {
    const at = latent * mixtures;
    let highest = -Infinity;
    for (let k = 0; k < mixtures; k++) highest = Math.max(highest, log_weights[at + k]);
    let total = 0;
    let mean = 0;
    for (let k = 0; k < mixtures; k++) {
      const logit = log_weights[at + k] - highest;
      weights[k] = Math.exp(sampled ? logit / temperature : logit);
      total += weights[k];
      mean += weights[k] * means[at + k];
    }
    if (!sampled) {
      next[latent] = mean / total;
      continue;
    }
    let threshold = noise.pick[latent] * total - weights[0];
    let k = 0;
    while (threshold > 0 && k < mixtures - 1) threshold -= weights[++k];
    const sigma = root * Math.exp(log_sigmas[at + k]);
    next[latent] = means[at + k] + sigma * noise.normal[latent];
  }
  return next;
}

/** One dream, and what both Ms know in it. */
export class Dream {
  constructor(models, numbers) {
    this.models = models;
    this.numbers = numbers;
    this.count = numbers.moment_latents.shape[0];
    this.latentCount = numbers.moment_latents.shape[1];
    this.size = numbers.latent_centre.shape[0]; // of z; the other latents are the car's motion
    this.begin(0);
  }

  /** Begins at the recorded moment `index`. A step that is under way then is forgotten. */
  begin(index) {
    this.begun = (this.begun ?? 0) + 1;
    const at = (name) => rowOf(this.numbers[`moment_${name}`], index);
    this.latents = at("latents");
    this.before = at("before");
    this.hidden = at("hidden");
    this.cell = at("cell");
    this.memory = at("memory"); // of the M that C listens to
    this.memoryCell = at("memory_cell");
    this.points = 0;
    this.reward = 0;
    this.lost = 0;
    this.offRoad = 0;
    this.strangeness = 0; // of the latents, in standard deviations
    this.steps = 0;
  }

  /** What C sees: mu of the dreamt frame. */
  get z() {
    return this.latents.slice(0, this.size);
  }

  /** The car's speed in m/s. */
  get speed() {
    return Math.hypot(this.latents[this.size], this.latents[this.size + 1]);
  }

  /** C's action: steering in [-1, 1], gas and brake in [0, 1]. */
  async act() {
    const told = await this.models.controller.run({ z: this.z, hidden: this.memory });
    return told.action;
  }

  /** Takes a step with an action [3]; `options` as for `nextLatents`. */
  async step(action, options, noise = null) {
    const now = Float32Array.from(action);
    const { begun } = this;
    const memory = await this.models.memory.run({
      z: this.z, action: now, hidden: this.memory, cell: this.memoryCell,
    });
    const told = await this.models.dream.run({
      latents: this.latents, before: this.before, action: now,
      hidden: this.hidden, cell: this.cell,
    });
    if (begun !== this.begun) return;
    const drawn = noise ?? (options.sampled ? drawNoise(this.latentCount) : null);
    const next = nextLatents(told, this.latentCount, options, drawn);
    this.strangeness = next.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    this.before = this.latents;
    this.latents = Float32Array.from(next, (z, n) => z * told.scale[n] + told.centre[n]);
    [this.hidden, this.cell] = [told.hidden_after, told.cell_after];
    [this.memory, this.memoryCell] = [memory.hidden_after, memory.cell_after];
    this.reward = told.reward[0];
    this.lost = sigmoid(told.lost_logit[0]);
    this.offRoad = sigmoid(told.off_road_logit[0]);
    this.points += this.reward;
    this.steps += 1;
  }
}
