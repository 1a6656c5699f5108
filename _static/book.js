// Paper is white: a page that is dark on the screen is printed in its light colours.
(() => {
  const page = document.documentElement;
  let onScreen;
  addEventListener("beforeprint", () => {
    onScreen = page.dataset.theme;
    page.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    page.dataset.theme = onScreen;
  });
})();

// From a folder, a browser does not let the search read the pages that it found: it shows
// their titles alone.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

// A formula that is too wide scrolls; whoever has no mouse stops at it with the Tab key and
// moves it with the arrow keys.
(() => {
  const boxes = ":is(div.math, mjx-container[display], p:has(> .math))";
  // Called once the sizes are known, and again when they change: a folded text opened.
  const watch = new ResizeObserver((seen) => {
    for (const { target } of seen) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll(`.bd-article ${boxes}`)) watch.observe(box);
})();
