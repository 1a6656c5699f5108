// Two changed views of an image, and how similar a contrastive encoder finds them.
(() => {
  const { live } = window;
  const { element } = live;

  const SIDE = 28;
  const PIXELS = SIDE * SIDE;

  // --- The changes: those of sslkit.contrastive.digit_views ----------------------------

  // What the sliders set, how far they go, and how far training went.
  const SLIDERS = [
    { key: "degrees", name: "Turn", unit: "°", limit: [-90, 90], trained: [-20, 20], step: 1 },
    { key: "right", name: "Shift right", unit: " px", limit: [-10, 10], trained: [-3, 3], step: 0.5 },
    { key: "down", name: "Shift down", unit: " px", limit: [-10, 10], trained: [-3, 3], step: 0.5 },
    { key: "size", name: "Size", unit: "×", limit: [0.4, 1.8], trained: [0.75, 1.25], step: 0.05 },
  ];
  const GRID = 5; // points of the bend along each axis

  // `stretch`: vertical divided by horizontal scale. `bend`: what displaces the points of
  // the grid, to the right and down by turns.
  const unchanged = () => ({ degrees: 0, right: 0, down: 0, size: 1, stretch: 1, shear: 0, gain: 1 });

  const drawView = (random) => {
    const between = (low, high) => low + (high - low) * random();
    const gaussian = () =>
      Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const [vertical, horizontal] = [between(0.75, 1.25), between(0.75, 1.25)];
    return {
      degrees: between(-20, 20),
      right: between(-3, 3),
      down: between(-3, 3),
      size: Math.sqrt(vertical * horizontal),
      stretch: vertical / horizontal,
      shear: between(-0.3, 0.3),
      bend: Float32Array.from({ length: 2 * GRID * GRID }, () => 1.2 * gaussian()),
      gain: between(0.7, 1.3),
    };
  };

  // Where a pixel of the view was fetched from: sslkit.augment.affine_matrix.
  const affineMatrix = ({ degrees, right, down, size, stretch, shear }) => {
    const angle = (degrees * Math.PI) / 180;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const vertical = size * Math.sqrt(stretch);
    const horizontal = size / Math.sqrt(stretch);
    const [a0, a1] = [(cos - shear * sin) / horizontal, (-sin - shear * cos) / horizontal];
    const [b0, b1] = [sin / vertical, cos / vertical];
    const centre = (SIDE - 1) / 2;
    const [x, y] = [centre + right, centre + down];
    return [a0, a1, centre - (a0 * x + a1 * y), b0, b1, centre - (b0 * x + b1 * y)];
  };

  // How much each of five points counts at each of 28 places: Keys's cubic, with which
  // TensorFlow enlarges. Weights beyond the edge are left out.
  const CUBIC = Array.from({ length: SIDE }, (_, i) => {
    const at = ((i + 0.5) * GRID) / SIDE - 0.5;
    const weights = Array.from({ length: GRID }, (__, k) => {
      const d = Math.abs(at - k);
      if (d >= 2) return 0;
      return d < 1 ? (1.5 * d - 2.5) * d * d + 1 : ((-0.5 * d + 2.5) * d - 4) * d + 2;
    });
    const sum = weights.reduce((a, b) => a + b);
    return weights.map((weight) => weight / sum);
  });

  // Displacement of a pixel along an axis, 0 for right and 1 for down.
  const bent = (bend, row, column, axis) => {
    let sum = 0;
    for (let r = 0; r < GRID; r++) {
      for (let c = 0; c < GRID; c++) {
        sum += CUBIC[row][r] * CUBIC[column][c] * bend[2 * (r * GRID + c) + axis];
      }
    }
    return sum;
  };

  // The view of an image: one warp with bilinear interpolation, black outside, then gain.
  const warp = (image, view) => {
    const [a0, a1, a2, b0, b1, b2] = affineMatrix(view);
    const pixel = (row, column) =>
      row >= 0 && row < SIDE && column >= 0 && column < SIDE ? image[row * SIDE + column] : 0;
    return Float32Array.from({ length: PIXELS }, (_, i) => {
      const [row, column] = [Math.floor(i / SIDE), i % SIDE];
      let x = a0 * column + a1 * row + a2;
      let y = b0 * column + b1 * row + b2;
      if (view.bend) {
        x += bent(view.bend, row, column, 0);
        y += bent(view.bend, row, column, 1);
      }
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [u, v] = [x - left, y - top];
      const upper = (1 - u) * pixel(top, left) + u * pixel(top, left + 1);
      const lower = (1 - u) * pixel(top + 1, left) + u * pixel(top + 1, left + 1);
      return Math.min(view.gain * ((1 - v) * upper + v * lower), 1);
    });
  };

  const cosine = (a, b) => {
    let [ab, aa, bb] = [0, 0, 0];
    for (let i = 0; i < a.length; i++) {
      ab += a[i] * b[i];
      aa += a[i] * a[i];
      bb += b[i] * b[i];
    }
    return ab / Math.sqrt(aa * bb || 1); // 0 for a black image
  };

  live.views = { affineMatrix, bent, cosine, drawView, warp };

  // --- The figure ---------------------------------------------------------------------

  const written = (value, digits = 2) =>
    value.toFixed(digits).replace(/^-(?=[0.]+$)/, "").replace("-", "−");

  const MEASURES = [
    ["pixels", "pixels"],
    ["h", "features h"],
    ["z", "projections z"],
  ];

  live.figures.views = (figure, data) => {
    const images = live.array(data.arrays.images).values.map((value) => value / 255);
    const labels = live.array(data.arrays.labels).values;
    const image = (n) => images.subarray(n * PIXELS, (n + 1) * PIXELS);
    const region = element("p", { class: "visually-hidden", role: "status" });

    // A view, with what the networks make of it.
    const see = (n, view) => {
      const pixels = warp(image(n), view);
      const h = live.run(data.models.encoder, pixels);
      return { n, view, pixels, h, z: live.run(data.models.projector, h) };
    };

    let chosen = 0;
    let others = []; // views of ten other images

    const drawOthers = (random) => {
      const digits = [...Array(10).keys()];
      const firsts = digits.map((digit) => labels.findIndex((label, n) => label === digit && n !== chosen));
      const rest = [...labels.keys()].filter((n) => n !== chosen && !firsts.includes(n));
      // Where a digit is missing, another one stands in.
      const ten = [...firsts.filter((n) => n !== -1), ...rest].slice(0, 10);
      others = ten.map((n) => see(n, drawView(random)));
    };

    // --- What is shown ----------------------------------------------------------------

    const bars = MEASURES.map(([key, name]) => {
      const number = element("span", { class: "views-number" });
      const track = element("span", { class: "views-track", "aria-hidden": "true" });
      const node = element("li", {}, element("span", {}, name), track, number);
      return { key, number, track, node };
    });
    const companions = Array.from({ length: 10 }, () => {
      const digit = live.digit({ "aria-hidden": "true" });
      const text = element("span");
      return { digit, text, node: element("li", {}, digit.node, text) };
    });

    const share = (value) => `${50 + 50 * value}%`; // of a track from -1 to 1

    const compare = () => {
      const [first, second] = panels.map((panel) => panel.seen);
      for (const { key, number, track } of bars) {
        const both = cosine(first[key], second[key]);
        number.textContent = written(both);
        track.replaceChildren(
          element("span", {
            class: "views-bar",
            style: `left: ${share(Math.min(both, 0))}; right: calc(100% - ${share(Math.max(both, 0))})`,
          }),
          ...others.map((other) =>
            element("span", {
              class: "views-tick",
              style: `left: ${share(cosine(first[key], other[key]))}`,
            }),
          ),
        );
      }
      const similar = others.map((other) => cosine(first.z, other.z));
      companions.forEach(({ digit, text }, i) => {
        digit.show(others[i].pixels);
        text.textContent = `${labels[others[i].n]}: ${written(similar[i])}`;
      });
      const most = similar.indexOf(Math.max(...similar));
      const numbers = bars.map(({ number }, i) => `${MEASURES[i][1]} ${number.textContent}`);
      return (
        `Similarity of the two views: ${numbers.join(", ")}. The most similar other image, ` +
        `by projections: a ${labels[others[most].n]}, ${written(similar[most])}.`
      );
    };

    // --- The two views, and their sliders ---------------------------------------------

    let asked = false;
    const changed = () => {
      if (!asked) {
        requestAnimationFrame(() => {
          asked = false;
          for (const panel of panels) panel.update();
          live.say(region, compare());
        });
      }
      asked = true;
    };

    const makeSlider = (panel, slider) => {
      const { key, name, unit, limit, trained, step } = slider;
      const text = element("span");
      const input = element("input", {
        type: "range",
        min: limit[0],
        max: limit[1],
        step,
        "aria-label": name, // without the value, which the slider tells itself
        oninput() {
          panel.view[key] = Number(input.value);
          panel.stale = true;
          changed();
        },
      });
      const [from, to] = trained.map((end) => (end - limit[0]) / (limit[1] - limit[0]));
      const range = element("span", {
        class: "views-range",
        style: `--from: ${from}; --to: ${to}`,
        "aria-hidden": "true",
      });
      const show = () => {
        const value = panel.view[key];
        const beyond = value < trained[0] || value > trained[1];
        input.value = value;
        const amount = `${written(value, step < 1 ? 2 : 0)}${unit}`;
        text.textContent = beyond ? `${amount}, beyond training` : amount;
        input.setAttribute("aria-valuetext", text.textContent);
      };
      const label = element("label", {}, element("span", {}, `${name}: `, text), input, range);
      return { show, label };
    };

    const panels = [1, 2].map((number) => {
      const panel = { view: unchanged(), stale: true };
      const digit = live.digit({ role: "img" });
      const rest = element("p", { class: "views-rest" });
      const sliders = SLIDERS.map((slider) => makeSlider(panel, slider));
      panel.update = () => {
        if (!panel.stale) return;
        panel.stale = false;
        panel.seen = see(chosen, panel.view);
        digit.show(panel.seen.pixels);
        digit.node.setAttribute("aria-label", `View ${number} of a ${labels[chosen]}`);
        for (const slider of sliders) slider.show();
        const { bend, gain, shear, stretch } = panel.view;
        rest.textContent = bend
          ? `Also: bent, shear ${written(shear)}, height ${written(stretch)} times width, ` +
            `brightness ${written(gain)}`
          : "No other change";
      };
      const reset = element(
        "button",
        {
          type: "button",
          "aria-label": `Undo changes of view ${number}`,
          onclick() {
            panel.view = unchanged();
            panel.stale = true;
            changed();
          },
        },
        "Undo",
      );
      panel.node = element(
        "div",
        { class: "views-panel", role: "group", "aria-label": `View ${number}` },
        element("p", { class: "views-name" }, `View ${number}`),
        element("div", { class: "views-picture" }, digit.node, rest, reset),
        element("div", { class: "views-sliders" }, ...sliders.map(({ label }) => label)),
      );
      return panel;
    });

    const drawBoth = (random) => {
      for (const panel of panels) {
        panel.view = drawView(random);
        panel.stale = true;
      }
      drawOthers(random);
      changed();
    };

    // --- The image --------------------------------------------------------------------

    const original = live.digit({ role: "img" });
    const which = element("span");
    const choose = (n) => {
      const count = labels.length;
      chosen = (n + count) % count;
      original.show(image(chosen));
      original.node.setAttribute("aria-label", `Image ${chosen + 1}, a ${labels[chosen]}`);
      which.textContent = `Image ${chosen + 1} of ${count}, a ${labels[chosen]}`;
      for (const panel of panels) panel.stale = true;
      // Nobody is compared with itself.
      if (others.some((other) => other.n === chosen)) drawOthers(Math.random);
      changed();
    };
    const button = (text, onclick) => element("button", { type: "button", onclick }, text);

    figure.querySelector(".live-stage").replaceChildren(
      element(
        "div",
        { class: "live-bar views-image" },
        original.node,
        which,
        button("Previous", () => choose(chosen - 1)),
        button("Next", () => choose(chosen + 1)),
        button("Any", () => choose(chosen + 1 + Math.floor(Math.random() * (labels.length - 1)))),
      ),
      element("p", { class: "views-name" }, "Cosine similarity of the two views"),
      element("ul", { class: "views-bars" }, ...bars.map(({ node }) => node)),
      element(
        "p",
        { class: "views-scale", "aria-hidden": "true" },
        ...["−1", "0", "1"].map((text) => element("span", {}, text)),
      ),
      element("div", { class: "views-panels" }, ...panels.map((panel) => panel.node)),
      element(
        "div",
        { class: "live-bar" },
        button("Draw two views as in training", () => drawBoth(Math.random)),
        element("span", { class: "views-key" }, "range of the training"),
      ),
      element(
        "p",
        { class: "views-name" },
        "View 1 and views of other images (ticks above): label and cosine of the projections",
      ),
      element("ul", { class: "views-others" }, ...companions.map(({ node }) => node)),
      region,
    );

    // The first views are the same for every reader (Park and Miller's generator).
    let state = 4;
    const first = () => (state = (state * 48271) % 2147483647) / 2147483647;
    choose(0);
    drawBoth(first);
  };
})();
