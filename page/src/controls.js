// The visitor's hands: arrow keys or WASD, or a finger on the picture.

const KEYS = {
  ArrowLeft: "left", KeyA: "left", ArrowRight: "right", KeyD: "right",
  ArrowUp: "gas", KeyW: "gas", ArrowDown: "brake", KeyS: "brake",
};
const STEERING_RATE = 0.12; // per step, as far as the wheel turns for a key
const REACH = 0.35; // of the picture's width that a finger moves for the full lock

/** Listens for keys on the document and for fingers on `surface`; `onUse` when one is first used. */
export class Controls {
  constructor(surface, onUse) {
    this.held = new Set();
    this.finger = null;
    this.steering = 0;
    document.addEventListener("keydown", (event) => {
      const name = this.nameOf(event);
      if (!name) return;
      event.preventDefault();
      this.held.add(name);
      onUse();
    });
    document.addEventListener("keyup", (event) => this.held.delete(KEYS[event.code]));
    window.addEventListener("blur", () => this.held.clear());
    surface.addEventListener("pointerdown", (event) => {
      surface.setPointerCapture(event.pointerId);
      this.finger = { from: [event.clientX, event.clientY], to: [event.clientX, event.clientY],
                      reach: surface.clientWidth * REACH };
      onUse();
    });
    surface.addEventListener("pointermove", (event) => {
      if (this.finger) this.finger.to = [event.clientX, event.clientY];
    });
    for (const end of ["pointerup", "pointercancel"]) {
      surface.addEventListener(end, () => (this.finger = null));
    }
  }

  /** What a key means here; nothing where it moves a slider or belongs to the browser. */
  nameOf(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return undefined;
    const inSlider = event.target instanceof HTMLInputElement && event.target.type === "range";
    return inSlider && event.code.startsWith("Arrow") ? undefined : KEYS[event.code];
  }

  /** The action [3] of this step: steering in [-1, 1], gas and brake in [0, 1]. */
  action() {
    if (this.finger) {
      const { from, to, reach } = this.finger;
      const [aside, up] = [(to[0] - from[0]) / reach, (from[1] - to[1]) / reach];
      this.steering = Math.max(-1, Math.min(1, aside));
      return [this.steering, Math.max(0, Math.min(1, up)), Math.max(0, Math.min(0.8, -up))];
    }
    const aim = Number(this.held.has("right")) - Number(this.held.has("left"));
    const change = Math.max(-STEERING_RATE, Math.min(STEERING_RATE, aim - this.steering));
    this.steering += aim === 0 ? 2 * change : change;
    if (aim === 0 && Math.abs(this.steering) < STEERING_RATE) this.steering = 0;
    return [this.steering, this.held.has("gas") ? 1 : 0, this.held.has("brake") ? 0.8 : 0];
  }
}
