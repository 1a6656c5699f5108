// Live figures: each starts when it comes near the window, and works on what is here.
//
// A page holds, from the directive `live` (_ext/live.py),
//
//   <figure class="live" data-live="NAME" data-models="NAME">
//     <div class="live-stage"> a still picture </div>
//     <figcaption> … </figcaption>
//   </figure>
//
// and this file and nn.js. NAME.js and models/NAME.js are loaded from beside this file;
// then `live.figures.NAME(figure, live.data(NAME))` puts the live part in the place of the
// still picture, with `stage.replaceChildren(…)`. Without `data-models` there is no model
// file. If something cannot be loaded the picture stays.
//
// For the figures:
//
//   live.element(tag, attributes, ...children)
//                       an element; attributes that begin with "on" are listeners, and
//                       those that are undefined or false are left out
//   live.canvas(attributes, draw)
//                       {node, paint}: a canvas that fills its width; its height comes
//                       from CSS (aspect-ratio). `draw(context, width, height, colours)`
//                       is called, in CSS pixels, after `paint()`, at most once a frame,
//                       and when size or theme change
//   live.digit(attributes)
//                       {node, show(values, from = 0)}: a canvas of 28 x 28 pixels that
//                       shows 784 numbers from 0 (black) to 1 (white), as MNIST is shown
//   live.colours()      {text, muted, background, surface, border, primary, digits}: the
//                       theme's colours at this moment, and ten for the digits, in CSS
//                       var(--live-digit-0) to var(--live-digit-9)
//   live.calm()         whether the reader asked for less motion
//   live.loop(figure, step)
//                       {start, stop, running}: calls `step(milliseconds since the last)`
//                       each frame, while the figure can be seen; never more than 50
//   live.say(region, text)
//                       writes into a live region once nothing new has come for a while,
//                       so that a screen reader is not flooded
(() => {
  const live = window.live;
  const here = document.currentScript.src;

  // --- Pieces -----------------------------------------------------------------------

  live.element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== undefined && value !== false) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };

  live.colours = () => {
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(name).trim();
    const of = (name) => read(`--pst-color-${name}`);
    return {
      text: of("text-base"),
      muted: of("text-muted"),
      background: of("background"),
      surface: of("surface"),
      border: of("border"),
      primary: of("primary"),
      digits: [...Array(10).keys()].map((digit) => read(`--live-digit-${digit}`)),
    };
  };

  live.canvas = (attributes, draw) => {
    const node = live.element("canvas", attributes);
    let asked = false;
    const paintNow = () => {
      asked = false;
      const { width, height } = node.getBoundingClientRect();
      if (!width || !height) return;
      const density = window.devicePixelRatio || 1;
      const [w, h] = [Math.round(width * density), Math.round(height * density)];
      if (node.width !== w || node.height !== h) Object.assign(node, { width: w, height: h });
      const context = node.getContext("2d");
      context.setTransform(density, 0, 0, density, 0, 0);
      context.clearRect(0, 0, width, height);
      draw(context, width, height, live.colours());
    };
    const paint = () => {
      if (!asked) requestAnimationFrame(paintNow);
      asked = true;
    };
    new ResizeObserver(paint).observe(node);
    new MutationObserver(paint).observe(document.documentElement, {
      attributeFilter: ["data-theme"],
    });
    addEventListener("beforeprint", paintNow); // book.js has made the page light
    return { node, paint };
  };

  live.digit = (attributes) => {
    const node = live.element("canvas", { width: 28, height: 28, ...attributes });
    node.classList.add("live-digit");
    const context = node.getContext("2d");
    const picture = context.createImageData(28, 28);
    const show = (values, from = 0) => {
      for (let i = 0; i < 784; i++) {
        // Clamped by the array's type.
        picture.data.fill(255 * values[from + i], 4 * i, 4 * i + 3);
        picture.data[4 * i + 3] = 255;
      }
      context.putImageData(picture, 0, 0);
    };
    show(new Float32Array(784));
    return { node, show };
  };

  live.calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  live.loop = (figure, step) => {
    let visible = true;
    let request;
    let before;
    const loop = { running: false };
    const frame = (now) => {
      request = requestAnimationFrame(frame);
      // A page that was busy goes on where it stopped, and does not leap.
      step(before === undefined ? 0 : Math.min(now - before, 50));
      before = now;
    };
    const settle = () => {
      cancelAnimationFrame(request);
      before = undefined;
      if (loop.running && visible) request = requestAnimationFrame(frame);
    };
    loop.start = () => {
      loop.running = true;
      settle();
    };
    loop.stop = () => {
      loop.running = false;
      settle();
    };
    new IntersectionObserver((entries) => {
      visible = entries.at(-1).isIntersecting;
      settle();
    }).observe(figure);
    return loop;
  };

  const waiting = new WeakMap();
  const QUIET = 700; // ms

  live.say = (region, text) => {
    clearTimeout(waiting.get(region));
    waiting.set(
      region,
      setTimeout(() => {
        if (region.textContent !== text) region.textContent = text;
      }, QUIET),
    );
  };

  // --- Starting ---------------------------------------------------------------------

  const loads = new Map();

  const load = (file) => {
    if (!loads.has(file)) {
      const arrives = new Promise((resolve, reject) => {
        const src = new URL(file, here).href;
        document.head.append(live.element("script", { src, onload: resolve, onerror: reject }));
      });
      loads.set(file, arrives);
    }
    return loads.get(file);
  };

  const start = async (figure) => {
    const name = figure.dataset.live;
    try {
      const models = figure.dataset.models;
      await Promise.all([load(`${name}.js`), models && load(`models/${models}.js`)]);
    } catch {
      const sorry = "This figure could not be loaded; the picture stands for it.";
      figure.querySelector(".live-stage").append(live.element("p", { role: "status" }, sorry));
      return;
    }
    live.figures[name](figure, live.data(name));
    figure.dataset.running = "";
  };

  document.addEventListener("DOMContentLoaded", () => {
    const near = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries) {
          if (!isIntersecting) continue;
          near.unobserve(target);
          start(target);
        }
      },
      { rootMargin: "200px" },
    );
    for (const figure of document.querySelectorAll("figure.live")) near.observe(figure);
  });
})();
