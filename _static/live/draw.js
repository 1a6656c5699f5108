// A drawn digit, and what three networks make of it.
(() => {
  const { element } = window.live;
  const SIDE = 28;
  const NEIGHBOURS = 8;

  // --- The drawing as MNIST would have it ---------------------------------------------

  // Scaled to a box of 20 x 20 pixels and moved by whole pixels until its centre of mass
  // is in the middle, or less than a pixel beyond: what was done to the images that the
  // networks know, which therefore stay as they are.
  const normalised = (ink) => {
    let [mass, meanRow, meanColumn] = [0, 0, 0];
    let [top, bottom, left, right] = [SIDE, -1, SIDE, -1];
    for (let i = 0; i < ink.length; i++) {
      if (!ink[i]) continue;
      const [row, column] = [Math.floor(i / SIDE), i % SIDE];
      [top, bottom] = [Math.min(top, row), Math.max(bottom, row)];
      [left, right] = [Math.min(left, column), Math.max(right, column)];
      mass += ink[i];
      meanRow += ink[i] * (row + 0.5);
      meanColumn += ink[i] * (column + 0.5);
    }
    const image = new Float32Array(SIDE * SIDE);
    if (!mass) return image;
    const scale = 20 / (Math.max(bottom - top, right - left) + 1);
    const shift = (mean) => Math.ceil(SIDE / 2 - (scale * mean) / mass);
    const [down, across] = [shift(meanRow), shift(meanColumn)];
    const at = (row, column) =>
      row >= 0 && row < SIDE && column >= 0 && column < SIDE ? ink[row * SIDE + column] : 0;
    for (let i = 0; i < image.length; i++) {
      const row = (Math.floor(i / SIDE) + 0.5 - down) / scale - 0.5;
      const column = ((i % SIDE) + 0.5 - across) / scale - 0.5;
      const [r, c] = [Math.floor(row), Math.floor(column)];
      const [y, x] = [row - r, column - c];
      const above = (1 - x) * at(r, c) + x * at(r, c + 1);
      const below = (1 - x) * at(r + 1, c) + x * at(r + 1, c + 1);
      image[i] = (1 - y) * above + y * below;
    }
    return image;
  };

  // --- What is drawn before a reader draws: a four, which is then closed to a nine ----

  const OPENING = [
    [[9, 6], [8, 13], [19, 14]],
    [[19, 6], [18, 23]],
    [[19, 6], [16, 4], [12, 4], [9, 6]],
  ];
  const PACE = 0.011; // cells a millisecond

  window.live.figures.draw = (figure, data) => {
    const { autoencoder, encoder, heads } = data.models;
    const bank = window.live.array(data.arrays.bank).values.map((byte) => byte / 255);
    const features = window.live.array(data.arrays.bank_features).values;
    const labels = window.live.array(data.arrays.bank_labels).values;
    const mean = data.arrays.mean && window.live.array(data.arrays.mean).values;
    const d = features.length / labels.length;
    const region = element("p", { class: "visually-hidden", "aria-live": "polite" });
    const ink = new Float32Array(SIDE * SIDE);
    const pen = { row: 14, column: 14, down: false };

    // --- What the networks say --------------------------------------------------------

    const probabilities = (h) => {
      const scores = window.live.run(heads, h);
      if (heads.layers.at(-1).activation === "softmax") return scores;
      const largest = Math.max(...scores);
      const powers = scores.map((score) => Math.exp(score - largest));
      return powers.map((power) => power / powers.reduce((a, b) => a + b));
    };

    const nearest = (h) => {
      const centred = mean ? h.map((value, i) => value - mean[i]) : h;
      const length = Math.hypot(...centred) || 1;
      const cosines = [...labels].map((_, n) => {
        let product = 0;
        for (let i = 0; i < d; i++) product += centred[i] * features[n * d + i];
        return product / length;
      });
      const order = cosines.map((_, n) => n).sort((a, b) => cosines[b] - cosines[a]);
      return order.slice(0, NEIGHBOURS).map((n) => ({ n, cosine: cosines[n] }));
    };

    // --- Parts of the figure ----------------------------------------------------------

    const pad = window.live.canvas(
      {
        class: "draw-pad",
        tabindex: 0,
        role: "application",
        "aria-label": "Drawing pad of 28 by 28 cells: arrow keys move the pen, Space puts it down or lifts it, Delete clears",
      },
      (context, size) => {
        const cell = size / SIDE;
        context.fillStyle = "black";
        context.fillRect(0, 0, size, size);
        ink.forEach((value, i) => {
          if (!value) return;
          const grey = Math.round(255 * value);
          context.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
          // A little too large, or there would be seams.
          context.fillRect((i % SIDE) * cell, Math.floor(i / SIDE) * cell, cell + 0.5, cell + 0.5);
        });
        if (document.activeElement !== pad.node) return;
        context.lineWidth = pen.down ? 4 : 2;
        for (const [colour, inset] of [["black", 0], ["#ffd34d", -2]]) {
          context.strokeStyle = colour;
          context.strokeRect(pen.column * cell + inset, pen.row * cell + inset, cell - 2 * inset, cell - 2 * inset);
        }
      },
    );

    const picture = (name) => {
      const digit = window.live.digit({ role: "img", "aria-label": name });
      const node = element("div", { class: "draw-picture" }, digit.node, element("span", {}, name));
      return { ...digit, node };
    };
    const seen = picture("centred and scaled");
    const rebuilt = picture("rebuilt");

    const bars = [...Array(10).keys()].map((digit) => {
      const bar = element("span", { class: "draw-bar" });
      const share = element("span", { class: "draw-share" });
      return { bar, share, node: element("li", {}, element("b", {}, digit), bar, share) };
    });

    const near = [...Array(NEIGHBOURS)].map(() => {
      const digit = window.live.digit({ role: "img" });
      const text = element("span");
      return { digit, text, node: element("li", {}, digit.node, text) };
    });

    // --- Keeping up with the drawing --------------------------------------------------

    const update = () => {
      const image = normalised(ink);
      const h = window.live.run(encoder, image);
      const shares = probabilities(h);
      const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]);
      seen.show(image);
      rebuilt.show(window.live.run(autoencoder, image));
      bars.forEach(({ bar, share, node }, digit) => {
        bar.style.setProperty("--share", shares[digit]);
        share.textContent = `${Math.round(100 * shares[digit])} %`;
        node.classList.toggle("draw-first", digit === order[0]);
      });
      const neighbours = nearest(h);
      neighbours.forEach(({ n, cosine }, i) => {
        near[i].digit.show(bank, n * SIDE * SIDE);
        near[i].digit.node.setAttribute("aria-label", `Training image, a ${labels[n]}`);
        near[i].text.textContent = `${labels[n]}: ${cosine.toFixed(2)}`;
      });
      const verdict = order.slice(0, 2).map((digit) => `${digit}, ${bars[digit].share.textContent}`);
      return `Classifier: ${verdict.join("; ")}. Nearest neighbour: a ${labels[neighbours[0].n]}.`;
    };

    let asked = false;
    let speaks = false; // once the reader has changed something
    const changed = (speak) => {
      pad.paint();
      speaks ||= speak;
      if (!asked) {
        requestAnimationFrame(() => {
          asked = false;
          const verdict = update();
          if (speaks) window.live.say(region, verdict);
        });
      }
      asked = true;
    };

    // --- Drawing ----------------------------------------------------------------------

    const stamp = (x, y) => {
      for (let row = Math.floor(y) - 2; row <= y + 2; row++) {
        for (let column = Math.floor(x) - 2; column <= x + 2; column++) {
          if (row < 0 || row >= SIDE || column < 0 || column >= SIDE) continue;
          const value = 1.7 - Math.hypot(column + 0.5 - x, row + 0.5 - y);
          const i = row * SIDE + column;
          ink[i] = Math.max(ink[i], Math.min(value, 1));
        }
      }
    };

    const line = ([fromX, fromY], [x, y]) => {
      const steps = Math.ceil(Math.hypot(x - fromX, y - fromY) / 0.3) || 1;
      for (let i = 0; i <= steps; i++) {
        stamp(fromX + ((x - fromX) * i) / steps, fromY + ((y - fromY) * i) / steps);
      }
    };

    const clear = () => {
      opening.stop();
      ink.fill(0);
      pen.down = false;
    };

    let last; // where the pointer was
    const place = (event) => {
      const { left, top, width } = pad.node.getBoundingClientRect();
      return [((event.clientX - left) / width) * SIDE, ((event.clientY - top) / width) * SIDE];
    };
    pad.node.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary) return; // or lines would join two fingers
      if (opening.running) clear();
      pad.node.setPointerCapture(event.pointerId);
      last = place(event);
      line(last, last);
      changed(true);
    });
    pad.node.addEventListener("pointermove", (event) => {
      if (!event.isPrimary || !pad.node.hasPointerCapture(event.pointerId)) return;
      // A fast finger reports several places at once.
      for (const each of [...(event.getCoalescedEvents?.() ?? []), event]) {
        line(last, place(each));
        last = place(each);
      }
      changed(true);
    });
    for (const event of ["focus", "blur"]) pad.node.addEventListener(event, pad.paint);

    const WAYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const within = (value) => Math.min(Math.max(value, 0), SIDE - 1);
    pad.node.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
      const middle = () => [pen.column + 0.5, pen.row + 0.5];
      const before = middle();
      if (event.key in WAYS) {
        const step = event.shiftKey ? 4 : 1;
        pen.row = within(pen.row + step * WAYS[event.key][0]);
        pen.column = within(pen.column + step * WAYS[event.key][1]);
      } else if (event.key === " ") {
        if (opening.running) clear();
        pen.down = !pen.down;
      } else if (event.key === "Delete" || event.key === "Backspace") clear();
      else return;
      event.preventDefault();
      if (pen.down) line(before, middle());
      if (pen.down || !(event.key in WAYS)) changed(true);
      else {
        pad.paint();
        window.live.say(region, `Row ${pen.row + 1}, column ${pen.column + 1}, pen lifted.`);
      }
    });

    // --- Examples, and the opening ----------------------------------------------------

    const shown = new Array(10).fill(-1);
    const example = (digit) => {
      const after = labels.indexOf(digit, shown[digit] + 1);
      const n = after === -1 ? labels.indexOf(digit) : after;
      if (n === -1) return;
      shown[digit] = n;
      clear();
      ink.set(bank.subarray(n * SIDE * SIDE, (n + 1) * SIDE * SIDE));
      changed(true);
    };

    const lines = OPENING.flatMap((stroke) => stroke.slice(1).map((end, i) => [stroke[i], end]));
    let drawn = 0; // how many of the lines
    let part = 0; // how much of the next one
    const opening = window.live.loop(figure, (passed) => {
      if (drawn === lines.length) return opening.stop();
      const [from, to] = lines[drawn];
      const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
      part = Math.min(part + (passed * PACE) / length, 1);
      line(from, from.map((value, axis) => value + part * (to[axis] - value)));
      if (part === 1) {
        drawn += 1;
        part = 0;
      }
      changed(false);
    });

    const button = (text, listener, attributes = {}) =>
      element("button", { type: "button", onclick: listener, ...attributes }, text);

    figure.querySelector(".live-stage").replaceChildren(
      element(
        "div",
        { class: "draw-parts" },
        element(
          "div",
          { class: "draw-left" },
          pad.node,
          element(
            "div",
            { class: "live-bar" },
            button("Clear", () => {
              clear();
              changed(true);
            }),
          ),
        ),
        element("div", { class: "draw-middle" }, seen.node, rebuilt.node),
        element(
          "div",
          { class: "draw-right" },
          element("p", { class: "draw-name" }, "Classifier with ten labels"),
          element("ul", { class: "draw-bars" }, ...bars.map((bar) => bar.node)),
        ),
      ),
      element("p", { class: "draw-name" }, "Nearest training images: label and similarity"),
      element("ol", { class: "draw-near" }, ...near.map((each) => each.node)),
      element("p", { class: "draw-name" }, "Draw an example of"),
      element(
        "div",
        { class: "live-digits", role: "group", "aria-label": "Examples" },
        ...bars.map((_, digit) =>
          button(digit, () => example(digit), { "aria-label": `An example of ${digit}` }),
        ),
      ),
      region,
    );
    if (window.live.calm()) {
      for (const [from, to] of lines) line(from, to);
    } else opening.start();
    changed(false);
  };
})();
