// Three planes of codes, and what their decoders make of the points between them.
(() => {
  const { element } = window.live;

  const MODELS = [
    ["ae", "Autoencoder"],
    ["aae", "Adversarial autoencoder"],
    ["vae", "Variational autoencoder"],
  ];
  const TRAVEL = 6000; // ms along a line
  const STEPS = 9; // places of a line that are looked at when one is chosen

  // --- The plane ----------------------------------------------------------------------

  const nearest = (codes, x, y, except = -1) => {
    let found = -1;
    let least = Infinity;
    for (let i = 0; 2 * i < codes.length; i++) {
      const square = (codes[2 * i] - x) ** 2 + (codes[2 * i + 1] - y) ** 2;
      if (square >= least || i === except) continue;
      least = square;
      found = i;
    }
    return { found, distance: Math.sqrt(least) };
  };

  // The median distance of a code from its nearest neighbour, the unit of distances.
  const spacingOf = (codes) => {
    const distances = [];
    for (let i = 0; 2 * i < codes.length; i++) {
      distances.push(nearest(codes, codes[2 * i], codes[2 * i + 1], i).distance);
    }
    return distances.sort((a, b) => a - b)[Math.floor(distances.length / 2)];
  };

  // The square that holds all codes, with a margin, and one scale for both axes.
  const frameOf = (codes) => {
    const along = (axis) => {
      const values = codes.filter((_, i) => i % 2 === axis);
      return [Math.min(...values), Math.max(...values)];
    };
    const [[left, right], [bottom, top]] = [along(0), along(1)];
    const side = 1.1 * Math.max(right - left, top - bottom);
    return { left: (left + right - side) / 2, bottom: (bottom + top - side) / 2, side };
  };

  const between = (codes, [a, b], t) =>
    [0, 1].map((axis) => (1 - t) * codes[2 * a + axis] + t * codes[2 * b + axis]);

  // Where a line is farthest from all codes, and how far that is, in spacings.
  const gapOf = (plane, pair) => {
    let gap = { t: 0, distance: 0 };
    for (let step = 1; step <= STEPS; step++) {
      const t = step / (STEPS + 1);
      const distance = nearest(plane.codes, ...between(plane.codes, pair, t)).distance;
      if (distance > gap.distance) gap = { t, distance };
    }
    return { t: gap.t, distance: gap.distance / plane.spacing };
  };

  // Of the first images, the two whose line leads the autoencoder through a hole and
  // the others past codes.
  const tellingPair = ([first, ...others], labels) => {
    let best = { score: -1 };
    for (let b = 0; b < 40; b++) {
      for (let a = 0; a < b; a++) {
        if (labels[a] === labels[b]) continue;
        const most = Math.max(...others.map((plane) => gapOf(plane, [a, b]).distance));
        const score = gapOf(first, [a, b]).distance / (1 + most);
        if (score > best.score) best = { score, pair: [a, b] };
      }
    }
    return best.pair;
  };

  window.live.figures.latent = (figure, data) => {
    const labels = window.live.array(data.arrays.labels).values;
    const region = element("p", { class: "visually-hidden", "aria-live": "polite" });
    let chosen; // the digit that is picked out, or undefined
    let pair;

    // --- Drawing ----------------------------------------------------------------------

    const toPlane = ({ frame }, x, y, size) => [
      frame.left + (x / size) * frame.side,
      frame.bottom + (1 - y / size) * frame.side,
    ];
    const toPage = ({ frame }, [x, y], size) => [
      ((x - frame.left) / frame.side) * size,
      (1 - (y - frame.bottom) / frame.side) * size,
    ];

    // The codes do not move: they are drawn once for each size, theme and choice.
    const mapOf = (plane, size, colours) => {
      const key = [size, colours.digits, colours.background, chosen].join();
      if (plane.mapKey === key) return plane.map;
      const density = window.devicePixelRatio || 1;
      const map = element("canvas", { width: size * density, height: size * density });
      const context = map.getContext("2d");
      context.scale(density, density);
      context.textAlign = "center";
      context.textBaseline = "middle";
      for (const pickedOut of [false, true]) {
        labels.forEach((label, i) => {
          if ((label === chosen) !== pickedOut) return;
          context.font = `${pickedOut ? "bold 13px" : "10px"} sans-serif`;
          context.globalAlpha = chosen === undefined || pickedOut ? 1 : 0.3;
          context.fillStyle = colours.digits[label];
          const code = plane.codes.subarray(2 * i, 2 * i + 2);
          context.fillText(label, ...toPage(plane, code, size));
        });
      }
      Object.assign(plane, { map, mapKey: key });
      return map;
    };

    const drawPlane = (plane) => (context, size, _, colours) => {
      context.drawImage(mapOf(plane, size, colours), 0, 0, size, size);
      const [x, y] = toPage(plane, plane.point, size);
      context.strokeStyle = context.fillStyle = colours.text;
      context.lineWidth = 1.5;
      context.setLineDash([4, 3]);
      context.beginPath();
      const ends = pair.map((i) => toPage(plane, plane.codes.subarray(2 * i, 2 * i + 2), size));
      context.moveTo(...ends[0]);
      context.lineTo(...ends[1]);
      context.stroke();
      context.setLineDash([]);
      for (const [endX, endY] of ends) context.strokeRect(endX - 6, endY - 6, 12, 12);
      // No code lies in this circle: the larger, the deeper in a hole.
      context.beginPath();
      context.arc(x, y, Math.max((plane.distance / plane.frame.side) * size, 1), 0, 2 * Math.PI);
      context.globalAlpha = 0.25;
      context.fillStyle = colours.primary;
      context.fill();
      context.globalAlpha = 1;
      context.stroke();
      context.beginPath();
      context.arc(x, y, 6, 0, 2 * Math.PI);
      context.fillStyle = colours.primary;
      context.fill();
      context.strokeStyle = colours.background;
      context.lineWidth = 2;
      context.stroke();
    };

    // --- Moving -----------------------------------------------------------------------

    const sentence = ({ distance, spacing, found }) =>
      `${(distance / spacing).toFixed(1)} spacings from the nearest code, a ${labels[found]}`;

    const move = (plane, point) => {
      const { left, bottom, side } = plane.frame;
      plane.point = point.map((value, axis) => {
        const least = axis ? bottom : left;
        return Math.min(Math.max(value, least), least + side);
      });
      Object.assign(plane, nearest(plane.codes, ...plane.point));
      plane.digit.show(window.live.run(plane.decoder, Float32Array.from(plane.point)));
      plane.text.textContent = sentence(plane);
      plane.canvas.paint();
    };

    const moveByHand = (plane, point) => {
      journey.stop();
      move(plane, point);
      window.live.say(region, `${plane.title}: ${sentence(plane)}.`);
    };

    const listen = (plane) => {
      const { node } = plane.canvas;
      const follow = (event) => {
        const { left, top, width } = node.getBoundingClientRect();
        moveByHand(plane, toPlane(plane, event.clientX - left, event.clientY - top, width));
      };
      node.addEventListener("pointerdown", (event) => {
        node.setPointerCapture(event.pointerId);
        follow(event);
      });
      node.addEventListener("pointermove", (event) => {
        if (node.hasPointerCapture(event.pointerId)) follow(event);
      });
      node.addEventListener("keydown", (event) => {
        const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
        if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
        if (!(event.key in way)) return;
        event.preventDefault();
        const step = plane.frame.side * (event.shiftKey ? 0.1 : 0.02);
        moveByHand(plane, way[event.key].map((sign, axis) => plane.point[axis] + sign * step));
      });
    };

    const planes = MODELS.map(([key, title]) => {
      const codes = window.live.array(data.arrays[`${key}_codes`]).values;
      const digit = window.live.digit({
        role: "img",
        "aria-label": `What the decoder of the ${title.toLowerCase()} makes of the point`,
      });
      const plane = { title, codes, digit, decoder: data.models[key] };
      plane.spacing = spacingOf(codes);
      plane.frame = frameOf(codes);
      plane.text = element("p", { class: "latent-text" });
      plane.canvas = window.live.canvas(
        {
          tabindex: 0,
          role: "application",
          "aria-label": `${title}, plane of codes: arrow keys move the point`,
        },
        drawPlane(plane),
      );
      listen(plane);
      plane.node = element(
        "div",
        { class: "latent-plane" },
        element("p", { class: "latent-name" }, title),
        plane.canvas.node,
        element("div", { class: "latent-answer" }, digit.node, plane.text),
      );
      return plane;
    });

    // --- Along a line -----------------------------------------------------------------

    const slider = element("input", { type: "range", min: 0, max: 1, step: 0.01, id: "latent-along" });
    const label = element("label", { for: "latent-along" });
    const play = element("button", { type: "button" });

    const along = (t) => {
      slider.value = t;
      for (const plane of planes) move(plane, between(plane.codes, pair, t));
    };

    // To the end of the line, and back to where the first plane has its hole.
    let position;
    let goals = [];
    const loop = window.live.loop(figure, (passed) => {
      const way = goals[0] - position;
      position += Math.sign(way) * Math.min(Math.abs(way), passed / TRAVEL);
      along(position);
      if (position === goals[0]) goals.shift();
      if (!goals.length) journey.stop();
    });
    const journey = {
      start() {
        position = 0;
        goals = [1, gapOf(planes[0], pair).t];
        play.textContent = "Stop";
        loop.start();
      },
      stop() {
        play.textContent = "Travel";
        loop.stop();
      },
    };

    const take = (images) => {
      pair = images;
      label.textContent = `From a ${labels[pair[0]]} to a ${labels[pair[1]]}`;
      if (window.live.calm()) along(gapOf(planes[0], pair).t);
      else {
        along(0);
        journey.start();
      }
    };

    const another = () => {
      const draw = () => Math.floor(Math.random() * labels.length);
      let images = [draw(), draw()];
      while (labels[images[0]] === labels[images[1]]) images = [draw(), draw()];
      journey.stop();
      take(images);
      window.live.say(region, `${label.textContent}.`);
    };

    play.addEventListener("click", () => (loop.running ? journey.stop() : journey.start()));
    slider.addEventListener("input", () => {
      const t = Number(slider.value);
      journey.stop();
      along(t);
      const all = planes.map((plane) => `${plane.title}: ${sentence(plane)}`);
      window.live.say(region, `${all.join(". ")}.`);
    });

    const legend = [...Array(10).keys()].map((digit) =>
      element(
        "button",
        {
          type: "button",
          style: `--digit: var(--live-digit-${digit})`,
          "aria-label": `Pick out ${digit}`,
          "aria-pressed": "false",
          onclick() {
            chosen = chosen === digit ? undefined : digit;
            legend.forEach((each, i) => each.setAttribute("aria-pressed", i === chosen));
            for (const plane of planes) plane.canvas.paint();
          },
        },
        digit,
      ),
    );

    const stage = figure.querySelector(".live-stage");
    stage.replaceChildren(
      element("div", { class: "latent-planes" }, ...planes.map((plane) => plane.node)),
      element(
        "div",
        { class: "live-bar" },
        play,
        label,
        slider,
        element("button", { type: "button", onclick: another }, "Another pair"),
      ),
      element("div", { class: "live-digits", role: "group", "aria-label": "Pick out a digit" }, ...legend),
      region,
    );
    journey.stop();
    take(tellingPair(planes, labels));
  };
})();
