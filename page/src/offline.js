// Keeps what the page has loaded, for a visit without a connection; sw.js answers from it then.

// By the page's place, as in sw.js: other pages of this host keep theirs
const CACHE = new URL("./", location.href).href;

/** Stores all that was fetched, and drops what an earlier page had. Without a store, nothing. */
export async function keepForLater() {
  if (!("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("sw.js");
    const cache = await caches.open(CACHE);
    const fetched = performance.getEntriesByType("resource").map(({ name }) => name);
    const own = new Set([location.href, ...fetched].filter((url) => url.startsWith(location.origin)));
    for (const { url } of await cache.keys()) if (!own.has(url)) await cache.delete(url);
    for (const url of own) {
      if (await cache.match(url)) continue;
      await cache.add(new Request(url, { cache: "force-cache" })); // as it has just come
    }
    document.body.dataset.kept = own.size;
  } catch (error) {
    console.warn(`not kept for a visit without a connection: ${error.message}`);
  }
}
