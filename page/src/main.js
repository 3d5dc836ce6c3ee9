// Puts the parts of the page together.

import { ControllerView } from "./controller.js";
import { element } from "./dom.js";
import { Driving } from "./driving.js";
import { Latents } from "./latents.js";
import { Trouble, load } from "./load.js";
import { keepForLater } from "./offline.js";
import { Reality } from "./reality.js";

/** Tells the visitor what went wrong, in place of the page's parts. */
function tell(error) {
  const known = error instanceof Trouble;
  element("trouble").textContent = known ? error.message : `Something broke: ${error.message}`;
  element("trouble").hidden = false;
  element("loading").hidden = true;
  element("parts").hidden = true;
  if (!known) console.error(error);
}

async function main() {
  const loaded = await load((share) => (element("progress").value = share));
  const latents = new Latents(loaded);
  const controller = new ControllerView(loaded);
  const driving = new Driving(loaded, (z, memory) => controller.show(z, memory));
  const reality = new Reality(loaded);
  element("take-latents").addEventListener("click", () => latents.set(driving.dream.z));
  await driving.draw();
  element("loading").hidden = true;
  element("parts").hidden = false;
  const redraw = () => {
    controller.draw();
    latents.show();
    reality.show();
  };
  redraw();
  window.addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) driving.pause(true, "Start");
  document.body.dataset.ready = performance.now().toFixed(0);
  window.page = { driving, reality, latents, controller, loaded }; // for tests and the curious
  driving.run().catch(tell);
  await keepForLater();
}

window.addEventListener("unhandledrejection", (event) => tell(event.reason));
main().catch(tell);
