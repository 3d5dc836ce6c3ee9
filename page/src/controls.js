// The visitor's hands: arrow keys or WASD, or a finger on the picture.

const KEYS = {
  ArrowLeft: "left", KeyA: "left", ArrowRight: "right", KeyD: "right",
  ArrowUp: "gas", KeyW: "gas", ArrowDown: "brake", KeyS: "brake",
};
const AGAIN = "KeyR";
const STEERING_RATE = 0.12; // by which a key turns the wheel in a step; the full lock is 1
const REACH = 0.35; // of the picture's width: as far as a finger pulls for the full lock
const FULL_BRAKE = 0.8;

const clip = (value, low, high) => Math.max(low, Math.min(high, value));

/**
 * Listens for keys, and for fingers on `surface`.
 *
 * `isHere()` says whether keys are meant for the car; `onUse(event)` is called when the visitor
 * begins to steer, `onAgain()` for R.
 */
export class Controls {
  constructor(surface, { isHere, onUse, onAgain }) {
    this.isHere = isHere;
    this.held = new Set();
    this.pull = null; // of a finger: its pointer's `id`, where it began, where it is, its reach
    this.steering = 0;
    document.addEventListener("keydown", (event) => {
      const name = this.nameOf(event);
      if (name === undefined) return;
      event.preventDefault();
      if (name === AGAIN) {
        if (!event.repeat) onAgain();
        return;
      }
      this.held.add(name);
      if (!event.repeat) onUse(event);
    });
    document.addEventListener("keyup", (event) => this.held.delete(KEYS[event.code]));
    window.addEventListener("blur", () => {
      this.held.clear();
      this.pull = null;
    });
    surface.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary || event.button !== 0) return;
      surface.setPointerCapture(event.pointerId);
      const at = [event.clientX, event.clientY];
      this.pull = { id: event.pointerId, from: at, to: at, reach: surface.clientWidth * REACH };
      onUse(event);
    });
    surface.addEventListener("pointermove", (event) => {
      if (this.pull?.id === event.pointerId) this.pull.to = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      surface.addEventListener(end, (event) => {
        if (this.pull?.id === event.pointerId) this.pull = null;
      });
    }
  }

  /** What a key means here; nothing where it moves a slider, or belongs to the page or browser. */
  nameOf(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || !this.isHere()) return undefined;
    const inSlider = event.target instanceof HTMLInputElement && event.target.type === "range";
    if (inSlider && event.code.startsWith("Arrow")) return undefined;
    return event.code === AGAIN ? AGAIN : KEYS[event.code];
  }

  /** The action [3] of this step: steering in [-1, 1], gas and brake in [0, 1]. */
  action() {
    if (this.pull) {
      const { from, to, reach } = this.pull;
      const [right, up] = [(to[0] - from[0]) / reach, (from[1] - to[1]) / reach];
      this.steering = clip(right, -1, 1);
      return [this.steering, clip(up, 0, 1), clip(-up, 0, FULL_BRAKE)];
    }
    const aim = Number(this.held.has("right")) - Number(this.held.has("left"));
    const change = clip(aim - this.steering, -STEERING_RATE, STEERING_RATE);
    this.steering += aim === 0 ? 2 * change : change;
    if (aim === 0 && Math.abs(this.steering) < STEERING_RATE) this.steering = 0;
    return [this.steering, this.held.has("gas") ? 1 : 0, this.held.has("brake") ? FULL_BRAKE : 0];
  }
}
