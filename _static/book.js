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
