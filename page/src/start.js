// Starts the page. A classic script, so that it can say so where modules cannot be loaded.

(() => {
  const element = (id) => document.getElementById(id);
  const ask =
    location.protocol === "file:"
      ? 'Opened as a file, this page cannot load its parts: "make page" serves it.'
      : "A script of this page, in src/, is missing or damaged. Load the page again.";
  element("loading").hidden = false;
  import("./main.js").catch((error) => {
    element("loading").hidden = true;
    element("trouble").textContent = `${ask} (${error.message})`;
    element("trouble").hidden = false;
  });
})();
