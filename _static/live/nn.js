// Small networks in a page: what sslkit.export wrote is decoded and computed here.
//
//   live.define(name, content)  is the one statement of a model file;
//   live.data(name)             its content, {models, arrays}; undefined if not loaded;
//   live.array(written)         one of its arrays, decoded: {shape, values}, values a
//                               Float32Array. Bytes stay 0 to 255;
//   live.run(model, input, batch = 1)
//                               the model's answer, a Float32Array. The input is a
//                               Float32Array of `batch` inputs, one after another; a
//                               model of several inputs takes an array of those, in the
//                               order of Keras:
//                                 live.run(encoder, [patches, places])
//                                 live.run(decoder, [vectorsWithZerosInTheGaps, mask])
//                               for the masked autoencoder of sslkit.mae: 16 pixels and
//                               one place for each visible patch, 64 numbers and one of
//                               the mask for every patch. A dimension that the model
//                               leaves open follows from the length of the input.
//
// Images are stored row by row with their channels last, as in Keras.
(() => {
  const defined = {};

  const define = (name, content) => {
    defined[name] = content;
  };

  const data = (name) => defined[name];

  // --- Arrays -----------------------------------------------------------------------

  // One bit of sign, five of exponent, ten of fraction.
  const half = (bits) => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = (bits & 0x3ff) / 1024;
    return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction) : sign * 2 ** -14 * fraction;
  };

  const readers = {
    uint8: [1, (view, at) => view.getUint8(at)],
    float16: [2, (view, at) => half(view.getUint16(at, true))],
    float32: [4, (view, at) => view.getFloat32(at, true)],
  };

  const decoded = new WeakMap();

  const array = (written) => {
    if (!decoded.has(written)) {
      const text = atob(written.data);
      const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
      const view = new DataView(bytes.buffer);
      const [size, read] = readers[written.type];
      const values = new Float32Array(bytes.length / size);
      for (let i = 0; i < values.length; i++) values[i] = read(view, i * size);
      decoded.set(written, { shape: written.shape, values });
    }
    return decoded.get(written);
  };

  // --- Activations ------------------------------------------------------------------

  const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  const activations = {
    relu: (x) => Math.max(x, 0),
    leaky_relu: (x, slope) => (x > 0 ? x : slope * x),
    elu: (x) => (x > 0 ? x : Math.expm1(x)),
    silu: (x) => x * sigmoid(x),
    sigmoid,
    softplus,
    tanh: Math.tanh,
  };

  // In place, over rows of `length` numbers.
  const softmax = (values, length) => {
    for (let start = 0; start < values.length; start += length) {
      const row = values.subarray(start, start + length);
      const largest = row.reduce((a, b) => Math.max(a, b));
      let sum = 0;
      for (let i = 0; i < length; i++) sum += row[i] = Math.exp(row[i] - largest);
      for (let i = 0; i < length; i++) row[i] /= sum;
    }
  };

  const activate = (layer, x) => {
    if (layer.activation === "softmax") softmax(x.values, x.shape.at(-1));
    else if (layer.activation in activations) {
      const of = activations[layer.activation];
      for (let i = 0; i < x.values.length; i++) x.values[i] = of(x.values[i], layer.slope);
    }
    return x;
  };

  // --- Layers: each takes its settings and inputs {shape, values} -------------------

  const count = (shape) => shape.reduce((a, b) => a * b, 1);
  const empty = (shape) => ({ shape, values: new Float32Array(count(shape)) });

  // out[row] += x[row] times the kernel. Inputs of zero, of which ReLU makes many, are
  // skipped.
  const multiply = (x, xAt, kernel, kernelAt, rows, out, outAt, columns) => {
    for (let i = 0; i < rows; i++) {
      const factor = x[xAt + i];
      if (factor === 0) continue;
      const from = kernelAt + i * columns;
      for (let j = 0; j < columns; j++) out[outAt + j] += factor * kernel[from + j];
    }
  };

  const fillWith = (layer, out, columns) => {
    if (!layer.bias) return;
    const bias = array(layer.bias).values;
    for (let i = 0; i < out.length; i += columns) out.set(bias, i);
  };

  const dense = (layer, [x]) => {
    const { shape, values } = array(layer.kernel);
    const rows = x.shape.at(-1);
    const columns = count(shape) / rows;
    const out = empty([...x.shape.slice(0, -1), columns]);
    fillWith(layer, out.values, columns);
    for (let n = 0; n * rows < x.values.length; n++) {
      multiply(x.values, n * rows, values, 0, rows, out.values, n * columns, columns);
    }
    return activate(layer, out);
  };

  // How long an axis becomes, and how many cells of padding stand before it.
  const window_ = (length, size, stride, padding) => {
    if (padding === "valid") return [Math.floor((length - size) / stride) + 1, 0];
    const steps = Math.ceil(length / stride);
    return [steps, Math.floor(Math.max((steps - 1) * stride + size - length, 0) / 2)];
  };

  // Every meeting of a window's cell with a cell of the image: visit(outRow, outColumn,
  // row, column, cell of the window).
  const slide = (height, width, [h, w], [sh, sw], padding, visit) => {
    const [rows, top] = window_(height, h, sh, padding);
    const [columns, left] = window_(width, w, sw, padding);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        for (let a = 0; a < h; a++) {
          const row = r * sh + a - top;
          if (row < 0 || row >= height) continue;
          for (let b = 0; b < w; b++) {
            const column = c * sw + b - left;
            if (column >= 0 && column < width) visit(r, c, row, column, a * w + b);
          }
        }
      }
    }
    return [rows, columns];
  };

  const conv = (layer, [x]) => {
    const [n, height, width, channels] = x.shape;
    const { shape, values } = array(layer.kernel);
    const [h, w, , filters] = shape;
    const rows = window_(height, h, layer.strides[0], layer.padding)[0];
    const columns = window_(width, w, layer.strides[1], layer.padding)[0];
    const out = empty([n, rows, columns, filters]);
    fillWith(layer, out.values, filters);
    for (let k = 0; k < n; k++) {
      slide(height, width, [h, w], layer.strides, layer.padding, (r, c, row, column, cell) => {
        const from = ((k * height + row) * width + column) * channels;
        const to = ((k * rows + r) * columns + c) * filters;
        multiply(x.values, from, values, cell * channels * filters, channels, out.values, to, filters);
      });
    }
    return activate(layer, out);
  };

  // A convolution backwards: what read from a cell now writes to it.
  const convTranspose = (layer, [x]) => {
    const [n, rows, columns, channels] = x.shape;
    const { shape, values } = array(layer.kernel);
    const [h, w, filters] = shape;
    const [sh, sw] = layer.strides;
    const longer = layer.padding === "valid" ? [Math.max(h - sh, 0), Math.max(w - sw, 0)] : [0, 0];
    const [height, width] = [rows * sh + longer[0], columns * sw + longer[1]];
    const out = empty([n, height, width, filters]);
    fillWith(layer, out.values, filters);
    for (let k = 0; k < n; k++) {
      slide(height, width, [h, w], layer.strides, layer.padding, (r, c, row, column, cell) => {
        const from = ((k * rows + r) * columns + c) * channels;
        const to = ((k * height + row) * width + column) * filters;
        // The kernel is stored with its filters before its channels.
        for (let f = 0; f < filters; f++) {
          const at = (cell * filters + f) * channels;
          let sum = 0;
          for (let i = 0; i < channels; i++) sum += x.values[from + i] * values[at + i];
          out.values[to + f] += sum;
        }
      });
    }
    return activate(layer, out);
  };

  const pool = (layer, [x]) => {
    const [n, height, width, channels] = x.shape;
    const rows = window_(height, layer.size[0], layer.strides[0], layer.padding)[0];
    const columns = window_(width, layer.size[1], layer.strides[1], layer.padding)[0];
    const out = empty([n, rows, columns, channels]);
    const largest = layer.type === "max_pool";
    if (largest) out.values.fill(-Infinity);
    const seen = new Float32Array(n * rows * columns); // cells of padding do not count
    for (let k = 0; k < n; k++) {
      slide(height, width, layer.size, layer.strides, layer.padding, (r, c, row, column) => {
        const place = (k * rows + r) * columns + c;
        seen[place] += 1;
        for (let i = 0; i < channels; i++) {
          const value = x.values[((k * height + row) * width + column) * channels + i];
          const at = place * channels + i;
          out.values[at] = largest ? Math.max(out.values[at], value) : out.values[at] + value;
        }
      });
    }
    if (!largest) {
      for (let i = 0; i < out.values.length; i++) out.values[i] /= seen[Math.floor(i / channels)];
    }
    return out;
  };

  const globalAveragePool = (_, [x]) => {
    const [n, height, width, channels] = x.shape;
    const out = empty([n, channels]);
    const cells = height * width;
    for (let i = 0; i < x.values.length; i++) {
      const image = Math.floor(i / (cells * channels));
      out.values[image * channels + (i % channels)] += x.values[i] / cells;
    }
    return out;
  };

  const affine = (layer, x) => {
    const scale = array(layer.scale).values;
    const shift = array(layer.shift).values;
    const values = x.values.map((value, i) => value * scale[i % scale.length] + shift[i % scale.length]);
    return { shape: x.shape, values };
  };

  const layerNorm = (layer, [x]) => {
    const length = x.shape.at(-1);
    const out = empty(x.shape);
    for (let start = 0; start < x.values.length; start += length) {
      let mean = 0;
      let variance = 0;
      for (let i = start; i < start + length; i++) mean += x.values[i] / length;
      for (let i = start; i < start + length; i++) variance += (x.values[i] - mean) ** 2 / length;
      const deviation = Math.sqrt(variance + layer.epsilon);
      for (let i = start; i < start + length; i++) out.values[i] = (x.values[i] - mean) / deviation;
    }
    return affine(layer, out);
  };

  // Per head: each place asks (query) all places (key) and averages what they answer
  // (value), weighted by the softmax of how well query and key fit.
  const attention = (layer, [asking, answering, keys = answering]) => {
    const query = dense(layer.query, [asking]);
    const key = dense(layer.key, [keys]);
    const value = dense(layer.value, [answering]);
    const [n, places] = asking.shape;
    const others = answering.shape[1];
    const [, heads, size] = layer.query.kernel.shape;
    const width = layer.value.kernel.shape[2];
    const mixed = empty([n, places, heads * width]);
    const weights = new Float32Array(others);
    for (let k = 0; k < n; k++) {
      for (let h = 0; h < heads; h++) {
        for (let p = 0; p < places; p++) {
          const q = ((k * places + p) * heads + h) * size;
          for (let o = 0; o < others; o++) {
            const at = ((k * others + o) * heads + h) * size;
            let fit = 0;
            for (let i = 0; i < size; i++) fit += query.values[q + i] * key.values[at + i];
            weights[o] = fit / Math.sqrt(size);
          }
          softmax(weights, others);
          const to = ((k * places + p) * heads + h) * width;
          for (let o = 0; o < others; o++) {
            const at = ((k * others + o) * heads + h) * width;
            for (let i = 0; i < width; i++) mixed.values[to + i] += weights[o] * value.values[at + i];
          }
        }
      }
    }
    return dense(layer.output, [mixed]);
  };

  const positions = (layer, [x, places]) => {
    const table = array(layer.table).values;
    const d = x.shape.at(-1);
    const values = x.values.map((value, i) => {
      const row = Math.floor(i / d);
      const place = places ? places.values[row] : row % x.shape[1];
      return value + table[place * d + (i % d)];
    });
    return { shape: x.shape, values };
  };

  const reshape = (layer, [x]) => {
    const known = count(layer.shape.filter((length) => length !== -1));
    const rest = x.values.length / x.shape[0] / known;
    const shape = layer.shape.map((length) => (length === -1 ? rest : length));
    return { shape: [x.shape[0], ...shape], values: x.values };
  };

  const layers = {
    activation: (layer, [x]) => activate(layer, { shape: x.shape, values: x.values.slice() }),
    add: (_, [first, ...others]) => ({
      shape: first.shape,
      values: first.values.map((value, i) => others.reduce((sum, x) => sum + x.values[i], value)),
    }),
    attention,
    average_pool: pool,
    conv,
    conv_transpose: convTranspose,
    dense,
    global_average_pool: globalAveragePool,
    layer_norm: layerNorm,
    max_pool: pool,
    positions,
    rescaling: ({ scale, offset }, [x]) => ({
      shape: x.shape,
      values: x.values.map((value) => value * scale + offset),
    }),
    reshape,
    scale: (layer, [x]) => affine(layer, x),
  };

  // --- Models -----------------------------------------------------------------------

  const given = (layer, values, batch) => {
    const known = count(layer.shape.filter((length) => length !== null));
    const rest = values.length / batch / known;
    const open = layer.shape.filter((length) => length === null).length;
    if (!Number.isInteger(rest) || (open === 0 && rest !== 1)) {
      throw new RangeError(
        `${batch} inputs of shape ${JSON.stringify(layer.shape)} cannot have ${values.length} numbers.`,
      );
    }
    return { shape: [batch, ...layer.shape.map((length) => length ?? rest)], values };
  };

  const run = (model, input, batch = 1) => {
    const inputs = Array.isArray(input) ? input : [input];
    const answers = [];
    for (const layer of model.layers) {
      answers.push(
        layer.type === "input"
          ? given(layer, inputs[answers.length], batch)
          : layers[layer.type](
              layer,
              layer.from.map((i) => answers[i]),
            ),
      );
    }
    return answers.at(-1).values;
  };

  window.live = { define, data, array, run, figures: {} };
})();
