// Puts the parts of the page together.

import { ControllerView } from "./controller.js";
import { Driving } from "./driving.js";
import { Latents } from "./latents.js";
import { Trouble, load } from "./load.js";
import { Reality } from "./reality.js";

const element = (id) => document.getElementById(id);

/** Tells the visitor what went wrong, in place of the page's parts. */
function tell(error) {
  const known = error instanceof Trouble;
  element("trouble").textContent = known ? error.message : `Something broke: ${error.message}`;
  element("trouble").hidden = false;
  element("loading").hidden = true;
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
  controller.drawWeights();
  await latents.show();
  await reality.show();
  document.body.dataset.ready = performance.now().toFixed(0);
  window.page = { driving, reality, latents, controller, loaded }; // for tests and the curious
  driving.run().catch(tell);
}

main().catch(tell);
