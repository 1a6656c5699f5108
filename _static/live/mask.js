// Patches of an image are hidden, and a masked autoencoder fills the gaps.
(() => {
  const { live } = window;
  const { element } = live;

  const SIDE = 28;
  const PATCH = 4;
  const GRID = SIDE / PATCH;
  const PLACES = GRID * GRID;
  const INSIDE = PATCH * PATCH; // pixels of a patch

  // Where pixel i of patch p lies in the image: sslkit.mae.patchify.
  const pixelOf = (p, i) => {
    const row = Math.floor(p / GRID) * PATCH + Math.floor(i / PATCH);
    return row * SIDE + (p % GRID) * PATCH + (i % PATCH);
  };

  // Guesses of all patches, as an image, from those that are not hidden.
  const rebuild = ({ encoder, decoder }, image, hidden) => {
    const visible = [...Array(PLACES).keys()].filter((p) => !hidden[p]);
    const width = decoder.layers[0].shape.at(-1); // numbers of a vector
    const vectors = new Float32Array(PLACES * width); // zero in the gaps
    if (visible.length) {
      const patches = Float32Array.from({ length: visible.length * INSIDE }, (_, at) =>
        image[pixelOf(visible[Math.floor(at / INSIDE)], at % INSIDE)],
      );
      const made = live.run(encoder, [patches, Float32Array.from(visible)]);
      visible.forEach((p, k) => vectors.set(made.subarray(k * width, (k + 1) * width), p * width));
    }
    const guess = live.run(decoder, [vectors, Float32Array.from(hidden)]);
    const rebuilt = new Float32Array(SIDE * SIDE);
    guess.forEach((value, at) => {
      rebuilt[pixelOf(Math.floor(at / INSIDE), at % INSIDE)] = value;
    });
    return rebuilt;
  };

  const places = (hidden) =>
    Array.from({ length: PLACES * INSIDE }, (_, at) => at)
      .filter((at) => hidden[Math.floor(at / INSIDE)])
      .map((at) => pixelOf(Math.floor(at / INSIDE), at % INSIDE));

  // Mean squared error of hidden pixels.
  const errorOf = (truth, guess, hidden) => {
    const pixels = places(hidden);
    return pixels.reduce((sum, at) => sum + (truth[at] - guess[at]) ** 2, 0) / pixels.length;
  };

  live.mask = { errorOf, rebuild };

  // --- The figure ---------------------------------------------------------------------

  live.figures.mask = (figure, data) => {
    const images = live.array(data.arrays.images).values.map((value) => value / 255);
    const count = images.length / (SIDE * SIDE);
    const region = element("p", { class: "visually-hidden", role: "status" });

    let chosen = 0;
    let image;
    let mean; // of all images but the chosen one, which would be told its own answer
    let lots = []; // patches in the order in which the slider hides them
    const hidden = new Array(PLACES).fill(false);

    const drawLots = (random) => {
      lots = [...hidden.keys()]
        .map((p) => [random(), p])
        .sort(([a], [b]) => a - b)
        .map(([, p]) => p);
    };

    // --- What is shown ----------------------------------------------------------------

    const given = live.digit({ "aria-hidden": "true" }); // its patches have names
    const picture = (name, text) => {
      const digit = live.digit({ role: "img", "aria-label": name });
      const node = element("div", {}, element("p", { class: "mask-name" }, text), digit.node);
      return { digit, node };
    };
    const rebuilt = picture("What the network rebuilds", "Rebuilt");
    const filled = picture("The gaps filled with the mean of the other images", "Mean of the others");
    const original = picture("The whole image", "The whole image");

    const errors = ["Network", "Mean"].map((name) => {
      const bar = element("span", { class: "mask-bar", "aria-hidden": "true" });
      const number = element("span", { class: "mask-number" });
      return { bar, number, node: element("li", {}, element("span", {}, name), bar, number) };
    });

    const hiddenText = element("span");
    const update = () => {
      const guess = rebuild(data.models, image, hidden);
      const gaps = new Set(places(hidden));
      const fillWith = (source) => image.map((value, at) => (gaps.has(at) ? source[at] : value));
      given.show(image);
      rebuilt.digit.show(fillWith(guess));
      filled.digit.show(fillWith(mean));
      original.digit.show(image);
      const number = hidden.filter(Boolean).length;
      const share = `${number} of ${PLACES} patches hidden, ${Math.round((100 * number) / PLACES)} %`;
      hiddenText.textContent = share;
      slider.value = number;
      slider.setAttribute("aria-valuetext", share);
      buttons.forEach((button, p) => button.setAttribute("aria-pressed", hidden[p]));
      if (!number) {
        for (const { bar, number } of errors) {
          bar.style.setProperty("--share", 0);
          number.textContent = "–";
        }
        return `${share}.`;
      }
      const values = [guess, mean].map((source) => errorOf(image, source, hidden));
      errors.forEach(({ bar, number }, i) => {
        bar.style.setProperty("--share", values[i] / Math.max(...values));
        number.textContent = values[i].toFixed(3);
      });
      const [network, plain] = values.map((value) => value.toFixed(3));
      return `${share}. Error of the hidden pixels: network ${network}, mean of the other images ${plain}.`;
    };

    let asked = false;
    const changed = () => {
      if (!asked) {
        requestAnimationFrame(() => {
          asked = false;
          live.say(region, update());
        });
      }
      asked = true;
    };

    const set = (p, hide) => {
      if (hidden[p] === hide) return;
      hidden[p] = hide;
      changed();
    };

    // --- Patches: a button each, and paths across them ---------------------------------

    const buttons = hidden.map((_, p) =>
      element("button", {
        type: "button",
        class: "mask-patch",
        tabindex: p ? -1 : 0,
        "aria-label": `Hide row ${Math.floor(p / GRID) + 1}, column ${(p % GRID) + 1}`,
      }),
    );
    // One stop of the Tab key for all patches; arrows go from one to the next.
    const focus = (p) => {
      buttons.forEach((button, i) => {
        button.tabIndex = i === p ? 0 : -1;
      });
      buttons[p].focus();
    };
    const WAYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const patches = element(
      "div",
      {
        class: "mask-patches",
        role: "group",
        "aria-label": "Patches; arrow keys go from one to the next",
        onkeydown(event) {
          const at = buttons.indexOf(event.target);
          if (!(event.key in WAYS) || at === -1) return;
          if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
          event.preventDefault();
          const [down, right] = WAYS[event.key];
          const within = (value) => Math.min(Math.max(value, 0), GRID - 1);
          focus(within(Math.floor(at / GRID) + down) * GRID + within((at % GRID) + right));
        },
        // Presses of a pointer, which count from 1, have been answered where they began.
        onclick(event) {
          const at = buttons.indexOf(event.target);
          if (at !== -1 && event.detail === 0) set(at, !hidden[at]);
        },
      },
      ...buttons,
    );
    const under = ({ clientX, clientY }) => {
      const { left, top, width } = patches.getBoundingClientRect();
      const [row, column] = [clientY - top, clientX - left].map((d) => Math.floor((d / width) * GRID));
      return row >= 0 && row < GRID && column >= 0 && column < GRID ? row * GRID + column : -1;
    };
    let hiding; // what a path across patches does
    patches.addEventListener("pointerdown", (event) => {
      const at = under(event);
      if (at === -1 || event.button) return;
      hiding = !hidden[at];
      patches.setPointerCapture(event.pointerId);
      set(at, hiding);
    });
    patches.addEventListener("pointermove", (event) => {
      if (!patches.hasPointerCapture(event.pointerId)) return;
      // A fast finger reports several places at once.
      for (const each of [...(event.getCoalescedEvents?.() ?? []), event]) {
        const at = under(each);
        if (at !== -1) set(at, hiding);
      }
    });

    // --- Controls ---------------------------------------------------------------------

    const hideFirst = (number) => {
      lots.forEach((p, i) => {
        hidden[p] = i < number;
      });
      changed();
    };
    const slider = element("input", {
      type: "range",
      min: 0,
      max: PLACES,
      value: Math.round(0.75 * PLACES), // as in training
      "aria-label": "Number of hidden patches",
      oninput: () => hideFirst(Number(slider.value)),
    });
    const which = element("span");
    const choose = (n) => {
      chosen = (n + count) % count;
      image = images.subarray(chosen * SIDE * SIDE, (chosen + 1) * SIDE * SIDE);
      mean = image.map((own, at) => {
        let sum = -own;
        for (let i = at; i < images.length; i += SIDE * SIDE) sum += images[i];
        return sum / (count - 1);
      });
      which.textContent = `Image ${chosen + 1} of ${count}`;
      changed();
    };
    const button = (text, onclick) => element("button", { type: "button", onclick }, text);

    figure.querySelector(".live-stage").replaceChildren(
      element(
        "div",
        { class: "mask-pictures" },
        element(
          "div",
          { class: "mask-given" },
          element("p", { class: "mask-name" }, "What the encoder sees"),
          element("div", { class: "mask-board" }, given.node, patches),
        ),
        rebuilt.node,
        filled.node,
        original.node,
        element(
          "div",
          { class: "mask-errors" },
          element("p", { class: "mask-name" }, "Mean squared error of the hidden pixels"),
          element("ul", {}, ...errors.map(({ node }) => node)),
        ),
      ),
      element("div", { class: "live-bar" }, hiddenText, slider),
      element(
        "div",
        { class: "live-bar" },
        button("Hide at random", () => {
          drawLots(Math.random);
          hideFirst(Number(slider.value));
        }),
        button("Previous image", () => choose(chosen - 1)),
        button("Next image", () => choose(chosen + 1)),
        which,
      ),
      region,
    );

    // The first mask is the same for every reader (Park and Miller's generator).
    let state = 4;
    drawLots(() => (state = (state * 48271) % 2147483647) / 2147483647);
    choose(0);
    hideFirst(Number(slider.value));
  };
})();
