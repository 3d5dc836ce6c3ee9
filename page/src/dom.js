// What several parts of the page need of its elements.

export const element = (id) => document.getElementById(id);

/** A function that runs `draw`; calls made while it runs are answered by one more run, the last. */
export function latestOnly(draw) {
  let asked = false;
  let running = null;
  async function run() {
    try {
      while (asked) {
        asked = false;
        await draw();
      }
    } finally {
      running = null;
    }
  }
  return () => {
    asked = true;
    running ??= run();
    return running;
  };
}

/** Keeps `state.inView` true while a good part of any of the elements can be seen. */
export function watchView(elements, state, share = 0.01) {
  const seen = new Set(elements);
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, intersectionRatio } of entries) {
        if (intersectionRatio >= share) seen.add(target);
        else seen.delete(target);
      }
      state.inView = seen.size > 0;
    },
    { threshold: [0, share] },
  );
  state.inView = true;
  for (const one of elements) observer.observe(one);
}
