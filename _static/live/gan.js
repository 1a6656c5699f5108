// A generative adversarial network on points of the plane, which trains in the page.
// Chapter "Generative adversarial network"; the losses are those of sslkit.gan.GAN.
(() => {
  const { live } = window;
  const { element } = live;

  // --- Random numbers: the same seed, the same game -----------------------------------

  // Mulberry32, a generator with 32 bits of state: uniform in [0, 1).
  const uniform = (seed) => {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    };
  };

  // Box and Muller: two uniform numbers make a Gaussian one.
  const gaussian = (random) =>
    Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

  // --- A dense network, forwards and backwards ----------------------------------------

  const SLOPE = 0.2; // of leaky ReLU below zero, as in Keras

  // Glorot's uniform start and zero biases, as in Keras.
  const network = (sizes, random) =>
    sizes.slice(1).map((outputs, i) => {
      const inputs = sizes[i];
      const limit = Math.sqrt(6 / (inputs + outputs));
      const kernel = Float64Array.from(
        { length: inputs * outputs },
        () => limit * (2 * random() - 1),
      );
      const bias = new Float64Array(outputs);
      const weights = [kernel, bias].map((value) => ({
        value,
        gradient: new Float64Array(value.length),
        m: new Float64Array(value.length), // of Adam
        v: new Float64Array(value.length),
      }));
      const last = i === sizes.length - 2;
      return { inputs, outputs, last, kernel: weights[0], bias: weights[1] };
    });

  // Inputs [n, inputs] to outputs; each layer keeps what it was given and what it made.
  const forward = (layers, x, n) => {
    for (const layer of layers) {
      const { inputs, outputs } = layer;
      const kernel = layer.kernel.value;
      const y = new Float64Array(n * outputs);
      for (let row = 0; row < n; row++) {
        const at = row * outputs;
        y.set(layer.bias.value, at);
        for (let i = 0; i < inputs; i++) {
          const value = x[row * inputs + i];
          const from = i * outputs;
          for (let j = 0; j < outputs; j++) y[at + j] += value * kernel[from + j];
        }
      }
      if (!layer.last) for (let i = 0; i < y.length; i++) if (y[i] < 0) y[i] *= SLOPE;
      layer.x = x;
      layer.y = y;
      x = y;
    }
    return x;
  };

  // Gradient of a loss by the outputs of the last `forward`, [n, outputs], to that by its
  // inputs. With `learn`, those by the weights are added up in the layers as well.
  const backward = (layers, gradient, n, learn) => {
    for (const layer of [...layers].reverse()) {
      const { inputs, outputs, x, y, kernel, bias } = layer;
      const g = Float64Array.from(gradient);
      // Leaky ReLU keeps the sign, so that its output tells its slope.
      if (!layer.last) for (let i = 0; i < g.length; i++) if (y[i] < 0) g[i] *= SLOPE;
      const before = new Float64Array(n * inputs);
      for (let row = 0; row < n; row++) {
        const at = row * outputs;
        if (learn) for (let j = 0; j < outputs; j++) bias.gradient[j] += g[at + j];
        for (let i = 0; i < inputs; i++) {
          const from = i * outputs;
          const value = x[row * inputs + i];
          let sum = 0;
          for (let j = 0; j < outputs; j++) {
            sum += g[at + j] * kernel.value[from + j];
            if (learn) kernel.gradient[from + j] += value * g[at + j];
          }
          before[row * inputs + i] = sum;
        }
      }
      gradient = before;
    }
    return gradient;
  };

  // One step of Adam (arXiv 1412.6980) with beta_1 = 0.5; the gradients are used up.
  const adam = (player, rate) => {
    player.steps += 1;
    const pace =
      (rate * Math.sqrt(1 - 0.999 ** player.steps)) / (1 - 0.5 ** player.steps);
    for (const layer of player.layers) {
      for (const { value, gradient, m, v } of [layer.kernel, layer.bias]) {
        for (let i = 0; i < value.length; i++) {
          m[i] += 0.5 * (gradient[i] - m[i]);
          v[i] += 0.001 * (gradient[i] ** 2 - v[i]);
          value[i] -= (pace * m[i]) / (Math.sqrt(v[i]) + 1e-7);
        }
        gradient.fill(0);
      }
    }
  };

  // --- The game -----------------------------------------------------------------------

  const sigmoid = (a) => 1 / (1 + Math.exp(-a));
  // log(1 + exp(a)) without overflow.
  const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

  // -log D(x) - log(1 - D(G(z))), averaged, and its gradient by D's weights.
  const discriminatorLoss = (game, real, z) => {
    const n = z.length / 2;
    const fake = forward(game.generator.layers, z, n);
    const both = new Float64Array(4 * n);
    both.set(real);
    both.set(fake, 2 * n);
    const logits = forward(game.discriminator.layers, both, 2 * n);
    const loss = logits.reduce((sum, a, i) => sum + softplus(i < n ? -a : a), 0) / n;
    const gradient = logits.map((a, i) => (i < n ? sigmoid(a) - 1 : sigmoid(a)) / n);
    backward(game.discriminator.layers, gradient, 2 * n, true);
    return loss;
  };

  // -log D(G(z)), averaged, and its gradient by G's weights, which comes through D. Also
  // where it would move each point: the way down, times the number of points.
  const generatorLoss = (game, z) => {
    const n = z.length / 2;
    const points = forward(game.generator.layers, z, n);
    const logits = forward(game.discriminator.layers, points, n);
    const loss = logits.reduce((sum, a) => sum + softplus(-a), 0) / n;
    const gradient = logits.map((a) => (sigmoid(a) - 1) / n);
    const slope = backward(game.discriminator.layers, gradient, n, false);
    backward(game.generator.layers, slope, n, true);
    return { loss, points, push: slope.map((value) => -n * value) };
  };

  // --- Data: places along curves, with a little noise ----------------------------------

  const onCircle = (t) => [2 * Math.cos(2 * Math.PI * t), 2 * Math.sin(2 * Math.PI * t)];

  // `radius`: how near to the middle of a part a point has to be to count for it.
  const DATA = {
    gaussians: {
      name: "eight Gaussians",
      part: "modes",
      parts: 8,
      radius: 0.3, // three standard deviations
      place: (t) => onCircle(Math.floor(8 * t) / 8),
    },
    moons: {
      name: "two moons",
      part: "stretches",
      parts: 16,
      radius: 0.4,
      place(t) {
        const side = t < 0.5 ? 1 : -1;
        const angle = 2 * Math.PI * t;
        return [1.4 * Math.cos(angle) - 0.7 * side, 1.4 * Math.sin(angle) - 0.35 * side];
      },
    },
    circle: { name: "a circle", part: "stretches", parts: 16, radius: 0.4, place: onCircle },
  };

  const draw = ({ place }, n, random) => {
    const points = new Float64Array(2 * n);
    for (let i = 0; i < n; i++) {
      const [x, y] = place(random());
      points[2 * i] = x + 0.1 * gaussian(random);
      points[2 * i + 1] = y + 0.1 * gaussian(random);
    }
    return points;
  };

  const noise = (n, random) => Float64Array.from({ length: 2 * n }, () => gaussian(random));

  // Parts of the data that at least 1 % of the points are near to, and the share of the
  // points that are near to any.
  const coverage = ({ parts, radius, place }, points) => {
    const n = points.length / 2;
    const found = new Float64Array(parts);
    let near = 0;
    for (let i = 0; i < n; i++) {
      let any = false;
      for (let k = 0; k < parts; k++) {
        const [x, y] = place((k + 0.5) / parts);
        if (Math.hypot(points[2 * i] - x, points[2 * i + 1] - y) >= radius) continue;
        found[k] += 1;
        any = true;
      }
      if (any) near += 1;
    }
    return { parts: found.filter((count) => count >= 0.01 * n).length, share: near / n };
  };

  const WIDTH = 32;
  const BATCH = 128;
  const SHOWN = 400; // points of either kind

  const newGame = (kind, seed) => {
    const random = uniform(seed);
    const player = (outputs) => ({
      layers: network([2, WIDTH, WIDTH, outputs], random),
      steps: 0,
    });
    const game = {
      data: DATA[kind],
      random,
      generator: player(2),
      discriminator: player(1),
      rounds: 0,
      losses: [], // of both players, by round
      highest: 0,
    };
    // What is shown is drawn once, so that one can follow a point.
    game.real = draw(game.data, SHOWN, random);
    game.noise = noise(SHOWN, random);
    return game;
  };

  const discriminate = (game, rate, steps) => {
    for (let i = 0; i < steps; i++) {
      const real = draw(game.data, BATCH, game.random);
      game.latest = discriminatorLoss(game, real, noise(BATCH, game.random));
      adam(game.discriminator, rate);
    }
  };

  const deceive = (game, rate) => {
    const { loss } = generatorLoss(game, noise(BATCH, game.random));
    adam(game.generator, rate);
    game.losses.push([game.latest, loss]);
    game.highest = Math.max(game.highest, game.latest, loss);
    game.rounds += 1;
  };

  live.gan = { adam, coverage, DATA, discriminatorLoss, draw, generatorLoss, network, newGame };

  // --- The figure ---------------------------------------------------------------------

  const LIMIT = 3; // the plane shows coordinates up to this, either way
  const CELLS = 40; // of the landscape, along each axis
  const LINES = 13; // of the grid, along each axis
  const BEND = 4; // pieces of a line between two crossings
  const EDGE = 2.4; // of the grid, in standard deviations of the noise
  const FIRST = 300; // rounds that are played without being asked
  const SPEEDS = { slow: "slow motion", normal: "60 rounds a second", fast: "as fast as it goes" };
  const TURN = 500; // ms of slow motion
  const BUDGET = 20; // ms of a frame for training
  const RATES = [0.00003, 0.0003, 0.001, 0.003, 0.01];
  const ORANGE = "#d55e00";
  const CIVIDIS = [[0, 34, 78], [67, 78, 108], [125, 124, 120], [188, 174, 108], [254, 232, 56]];

  // The colour of a probability.
  const cividis = (p) => {
    const at = Math.min(3, Math.floor(4 * p));
    return [0, 1, 2].map((i) => CIVIDIS[at][i] + (4 * p - at) * (CIVIDIS[at + 1][i] - CIVIDIS[at][i]));
  };

  const mesh = (count, edge) => {
    const points = new Float64Array(2 * count * count);
    for (let i = 0; i < count * count; i++) {
      points[2 * i] = edge * ((2 * (i % count)) / (count - 1) - 1);
      points[2 * i + 1] = edge * (1 - (2 * Math.floor(i / count)) / (count - 1));
    }
    return points;
  };

  const FINE = (LINES - 1) * BEND + 1;
  const LATTICE = mesh(FINE, EDGE);
  const PLANE = mesh(CELLS, LIMIT);

  const dot = (context, x, y) => {
    context.beginPath();
    context.arc(x, y, 2, 0, 2 * Math.PI);
    context.fillStyle = "#ffffff";
    context.fill();
    context.lineWidth = 0.7;
    context.strokeStyle = "#000000";
    context.stroke();
  };

  const triangle = (context, x, y) => {
    context.beginPath();
    context.moveTo(x, y - 3.5);
    context.lineTo(x + 3, y + 2);
    context.lineTo(x - 3, y + 2);
    context.closePath();
    context.fillStyle = ORANGE;
    context.fill();
    context.lineWidth = 0.6;
    context.strokeStyle = "#000000";
    context.stroke();
  };

  const arrow = (context, x, y, dx, dy) => {
    const length = Math.hypot(dx, dy);
    const [ux, uy] = [dx / length, dy / length];
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(x + dx, y + dy);
    context.lineTo(x + dx - 4 * ux + 3 * uy, y + dy - 4 * uy - 3 * ux);
    context.moveTo(x + dx, y + dy);
    context.lineTo(x + dx - 4 * ux - 3 * uy, y + dy - 4 * uy + 3 * ux);
    for (const [width, colour] of [[3, "#000000"], [1.4, "#ffffff"]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    }
  };

  // Points of the lattice, joined along both of its directions.
  const grid = (context, points, place) => {
    context.beginPath();
    for (let line = 0; line < FINE; line += BEND) {
      for (const index of [(k) => line * FINE + k, (k) => k * FINE + line]) {
        for (let k = 0; k < FINE; k++) {
          const at = place(points[2 * index(k)], points[2 * index(k) + 1]);
          if (k) context.lineTo(...at);
          else context.moveTo(...at);
        }
      }
    }
    context.lineWidth = 0.8;
    context.stroke();
  };

  live.figures.gan = (figure) => {
    let game;
    let until = FIRST; // the round that ends the game, if any
    let turn = "discriminator"; // in slow motion
    let due = 0; // rounds, or ms of slow motion, that are to be made up for

    // --- What is drawn ----------------------------------------------------------------

    const shades = element("canvas", { width: CELLS, height: CELLS });
    const landscape = () => {
      const context = shades.getContext("2d");
      const image = context.createImageData(CELLS, CELLS);
      forward(game.discriminator.layers, PLANE, CELLS ** 2).forEach((a, i) => {
        image.data.set(cividis(sigmoid(a)), 4 * i);
        image.data[4 * i + 3] = 255;
      });
      context.putImageData(image, 0, 0);
      return shades;
    };

    const plane = live.canvas({ class: "gan-plane", role: "img" }, (context, size) => {
      const scale = size / (2 * LIMIT);
      const place = (x, y) => [(x + LIMIT) * scale, (LIMIT - y) * scale];
      // Half a cell of the mesh lies beyond each edge.
      const over = size / (CELLS - 1) / 2;
      context.drawImage(landscape(), -over, -over, size + 2 * over, size + 2 * over);
      const each = (points, mark) => {
        for (let i = 0; i < points.length; i += 2) mark(context, ...place(points[i], points[i + 1]));
      };
      if (layers.grid.checked) {
        context.strokeStyle = "#ffffff";
        grid(context, forward(game.generator.layers, LATTICE, FINE ** 2), place);
      }
      if (layers.real.checked) each(game.real, dot);
      const { points, push } = look();
      if (layers.made.checked) each(points, triangle);
      if (!layers.push.checked) return;
      for (let i = 0; i < 2 * 40; i += 2) {
        const [dx, dy] = [20 * push[i], -20 * push[i + 1]];
        const shorten = Math.min(1, 40 / Math.hypot(dx, dy));
        if (Math.hypot(dx, dy) < 2) continue; // shorter than its own head
        arrow(context, ...place(points[i], points[i + 1]), shorten * dx, shorten * dy);
      }
    });

    // The generated points that are shown, and where they are pushed.
    const look = () => {
      const seen = generatorLoss(game, game.noise);
      // Nobody learns from being looked at.
      for (const layer of game.generator.layers) {
        layer.kernel.gradient.fill(0);
        layer.bias.gradient.fill(0);
      }
      return seen;
    };

    const source = live.canvas(
      { class: "gan-noise", role: "img", "aria-label": "Noise: points around the middle of a square grid" },
      (context, size, _, colours) => {
        const scale = size / (2 * LIMIT);
        const place = (x, y) => [(x + LIMIT) * scale, (LIMIT - y) * scale];
        context.strokeStyle = colours.muted;
        grid(context, LATTICE, place);
        context.fillStyle = ORANGE;
        for (let i = 0; i < game.noise.length; i += 2) {
          const [x, y] = place(game.noise[i], game.noise[i + 1]);
          context.fillRect(x - 1, y - 1, 2, 2);
        }
      },
    );

    const chart = live.canvas({ class: "gan-chart", role: "img" }, (context, width, height, colours) => {
      const [left, right] = [16, width - 16];
      const { highest, losses } = game;
      const unit = Math.max(1, Math.ceil(highest / 3)); // between the lines
      const down = (loss) => height - 4 - (loss / unit / 3) * (height - 8);
      const across = (i) => left + (i / Math.max(losses.length - 1, 1)) * (right - left);
      context.font = "11px sans-serif";
      context.textBaseline = "middle";
      context.fillStyle = context.strokeStyle = colours.muted;
      for (const loss of [0, unit, 2 * unit, 3 * unit]) {
        context.fillText(loss, 0, Math.min(Math.max(down(loss), 6), height - 6));
        context.globalAlpha = 0.3;
        context.fillRect(left, down(loss), right - left, 1);
        context.globalAlpha = 1;
      }
      ["D", "G"].forEach((name, player) => {
        context.strokeStyle = context.fillStyle = colours.digits[player];
        context.setLineDash(player ? [4, 2] : []);
        context.beginPath();
        // A point for each pixel is enough.
        const stride = Math.max(1, losses.length / (right - left));
        for (let i = 0; i < losses.length; i += stride) {
          context.lineTo(across(Math.floor(i)), down(losses[Math.floor(i)][player]));
        }
        context.stroke();
        const end = losses.length ? losses.at(-1)[player] : player;
        context.fillText(name, right + 4, Math.min(Math.max(down(end), 6), height - 6));
      });
      context.setLineDash([]);
    });

    // --- What is written --------------------------------------------------------------

    const region = element("p", { class: "visually-hidden", role: "status" });
    const numbers = Object.fromEntries(
      ["Rounds", "Loss of the discriminator", "Loss of the generator", "Covered", "On the data"].map(
        (name) => [name, element("b")],
      ),
    );
    const lines = Object.entries(numbers).map(([name, node]) =>
      element("li", {}, `${name}: `, node),
    );

    const write = () => {
      const { parts, share } = coverage(game.data, forward(game.generator.layers, game.noise, SHOWN));
      const [dLoss, gLoss] = (game.losses.at(-1) ?? []).map((loss) => loss.toFixed(2));
      const texts = [
        game.rounds,
        dLoss ?? "–",
        gLoss ?? "–",
        `${parts} of ${game.data.parts} ${game.data.part}`,
        `${Math.round(100 * share)} % of the generated points`,
      ];
      Object.values(numbers).forEach((node, i) => {
        node.textContent = texts[i];
      });
      const [rounds, , , covered, near] = texts;
      plane.node.setAttribute(
        "aria-label",
        `Plane after ${rounds} rounds: generated points cover ${covered} of the data, ${near} ` +
          "lie on the data.",
      );
      chart.node.setAttribute(
        "aria-label",
        `Losses by round: discriminator ${texts[1]} and generator ${texts[2]} in the last one.`,
      );
      return `Round ${rounds}. Losses: discriminator ${texts[1]}, generator ${texts[2]}. ${covered}.`;
    };

    const show = () => {
      for (const canvas of [plane, source, chart]) canvas.paint();
      return write();
    };

    // --- Controls ---------------------------------------------------------------------

    const choice = (name, options, value, onchange) => {
      const entries = Object.entries(options).map(([key, text]) =>
        element("option", { value: key, selected: key === value }, text),
      );
      const select = element("select", { onchange }, ...entries);
      return { select, label: element("label", {}, `${name} `, select) };
    };
    const rates = Object.fromEntries(RATES.map((rate) => [String(rate), rate.toFixed(5).replace(/0+$/, "")]));
    const kinds = Object.fromEntries(Object.entries(DATA).map(([key, { name }]) => [key, name]));

    const restart = () => {
      game = newGame(data.select.value, Number(seed.value) || 0);
      until = undefined;
      turn = "discriminator";
      live.say(region, show());
    };
    const data = choice("Data", kinds, "gaussians", restart);
    const seed = element("input", { type: "number", min: 0, max: 9999, value: 1, onchange: restart });
    const gRate = choice("Learning rate of the generator", rates, "0.003");
    const dRate = choice("Learning rate of the discriminator", rates, "0.003");
    const dSteps = choice("Steps of the discriminator a round", { 1: "1", 2: "2", 5: "5" }, "1");
    const speed = choice("Speed", SPEEDS, "normal", () => {
      due = 0;
      layers.push.checked = speed.select.value === "slow";
      show();
      turnText();
    });

    const discriminateOnce = () =>
      discriminate(game, Number(dRate.select.value), Number(dSteps.select.value));
    const deceiveOnce = () => deceive(game, Number(gRate.select.value));
    const round = () => {
      // Slow motion may have left the generator's turn open.
      if (turn === "discriminator") discriminateOnce();
      deceiveOnce();
      turn = "discriminator";
    };

    const whose = element("span", { class: "gan-turn" });
    const turnText = () => {
      if (!loop.running) whose.textContent = "";
      else if (hushed()) whose.textContent = `The first ${FIRST} rounds are being played …`;
      else if (speed.select.value === "slow") whose.textContent = `Next: a step of the ${turn}`;
      else whose.textContent = "";
    };

    const pause = () => {
      loop.stop();
      play.textContent = "Play";
      turnText();
      live.say(region, show());
    };
    const start = () => {
      due = 0;
      loop.start();
      play.textContent = "Pause";
      turnText();
    };
    const play = element("button", {
      type: "button",
      onclick() {
        until = undefined;
        if (loop.running) pause();
        else start();
      },
    });
    const one = element(
      "button",
      {
        type: "button",
        onclick() {
          if (loop.running) pause();
          round();
          live.say(region, show());
        },
      },
      "One round",
    );

    // Who asked for less motion is shown the end of the first rounds only.
    const hushed = () => until && live.calm();

    // Rounds that are due, as many as a frame has time for.
    const loop = live.loop(figure, (passed) => {
      if (speed.select.value === "slow" && !hushed()) {
        due += passed;
        if (due < TURN) return;
        due = 0;
        if (turn === "discriminator") {
          discriminateOnce();
          turn = "generator";
        } else round();
        turnText();
      } else {
        const end = performance.now() + BUDGET;
        const endless = hushed() || speed.select.value === "fast";
        due = Math.min(due + (passed * 60) / 1000, 4); // no catching up after a pause
        while ((endless || due >= 1) && performance.now() < end && game.rounds !== until) {
          round();
          due -= 1;
        }
        due = Math.max(due, 0);
      }
      if (game.rounds === until) {
        until = undefined;
        pause();
      } else if (!hushed()) show();
    });

    // The legend switches what it explains.
    const layers = {};
    const entry = (key, text, checked, mark) => {
      layers[key] = element("input", { type: "checkbox", checked, onchange: () => plane.paint() });
      const swatch = live.canvas({ class: "gan-swatch", "aria-hidden": "true" }, (context, width, height) => {
        const [r, g, b] = CIVIDIS[1];
        context.fillStyle = `rgb(${r} ${g} ${b})`;
        context.fillRect(0, 0, width, height);
        mark(context, width, height);
      });
      return element("label", {}, layers[key], swatch.node, text);
    };
    const squares = (context, width, height) => {
      context.fillStyle = "#ffffff";
      for (const part of [0.25, 0.5, 0.75]) {
        context.fillRect(part * width, 0, 0.8, height);
        context.fillRect(0, part * height, width, 0.8);
      }
    };
    const legend = element(
      "div",
      { class: "gan-legend", role: "group", "aria-label": "Shown in the plane" },
      entry("real", "real points", true, (context, w, h) => dot(context, w / 2, h / 2)),
      entry("made", "generated points", true, (context, w, h) => triangle(context, w / 2, h / 2)),
      entry("grid", "the grid of the noise, as the generator bends it", true, squares),
      entry("push", "where generated points are pushed", false, (context, w, h) =>
        arrow(context, 3, h / 2, w - 6, 0),
      ),
      element(
        "p",
        { class: "gan-scale" },
        element("span", {}, "D(x): generated"),
        element("span", { class: "gan-colours", "aria-hidden": "true" }),
        element("span", {}, "real"),
      ),
    );

    figure.querySelector(".live-stage").replaceChildren(
      element(
        "div",
        { class: "gan-main" },
        element(
          "div",
          {},
          plane.node,
          element(
            "div",
            { class: "live-bar" },
            play,
            one,
            element("button", { type: "button", onclick: restart }, "Restart"),
          ),
          element("div", { class: "live-bar" }, speed.label, whose),
        ),
        element(
          "div",
          { class: "gan-side" },
          element("ul", { class: "gan-numbers" }, ...lines),
          element("div", { class: "gan-small" }, source.node, chart.node),
          legend,
        ),
      ),
      element(
        "div",
        { class: "live-bar" },
        data.label,
        element("label", {}, "Seed ", seed),
        gRate.label,
        dRate.label,
        dSteps.label,
      ),
      region,
    );
    game = newGame("gaussians", 1);
    show();
    start();
  };
})();
