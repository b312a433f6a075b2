/* The generator: from 100 numbers to a picture, in plain JavaScript.
 *
 * A row of the network is a matrix product (dense) or a transposed convolution ("deconv"), then a
 * shift, then an activation. Batch norm was folded into weights and shifts before they were written
 * into the page. Maps are kept place by place: all channels of one place, then the next place.
 *
 * A transposed convolution of stride s puts its input on a grid with s - 1 zeros between, which
 * would be multiplied in vain. Seen from the output there are s * s kinds of place ("phases"), each
 * an ordinary small convolution with the part of the kernel that falls on no zeros: four small ones
 * instead of one of four times the work.
 */
"use strict";

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const floatsOf = (base64) => new Float32Array(bytesOf(base64).buffer);

/* All 65,536 numbers of half precision, so that a weight is looked up and not worked out. */
function halfTable() {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
    table[bits] = bits & 32768 ? -size : size;
  }
  return table;
}

const ACTIVATIONS = {
  relu: (x) => (x > 0 ? x : 0),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
};

/* rows * columns numbers: each of `vectors` (rows of `length` numbers) times each row of `weights`.
 * Two vectors and four rows of weights at a time: eight sums then share six numbers that are read. */
function products(vectors, rows, length, weights, columns, found) {
  for (let c = 0; c < columns; c += 4) {
    const w0 = c * length;
    const w1 = Math.min(c + 1, columns - 1) * length;
    const w2 = Math.min(c + 2, columns - 1) * length;
    const w3 = Math.min(c + 3, columns - 1) * length;
    for (let r = 0; r < rows; r += 2) {
      const v0 = r * length, v1 = Math.min(r + 1, rows - 1) * length;
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let k = 0; k < length; k++) {
        const x = vectors[v0 + k], y = vectors[v1 + k];
        const p = weights[w0 + k], q = weights[w1 + k], s = weights[w2 + k], t = weights[w3 + k];
        a0 += x * p; a1 += x * q; a2 += x * s; a3 += x * t;
        b0 += y * p; b1 += y * q; b2 += y * s; b3 += y * t;
      }
      const sums = [[a0, a1, a2, a3], [b0, b1, b2, b3]];
      for (let i = 0; i < 2 && r + i < rows; i++)
        for (let j = 0; j < 4 && c + j < columns; j++) found[(r + i) * columns + c + j] = sums[i][j];
    }
  }
}

/* A row that takes a vector. */
class Dense {
  constructor(facts, weights, bias) {
    Object.assign(this, { out: facts.out, inputs: facts.inputs, weights, bias });
    this.act = ACTIVATIONS[facts.act];
    [this.maps, this.height, this.width] = facts.reshape || [facts.out, 1, 1];
  }

  run({ values }) {
    const found = new Float32Array(this.out);
    products(values, 1, this.inputs, this.weights, this.out, found);
    for (let i = 0; i < this.out; i++) found[i] = this.act(found[i] + this.bias[i]);
    return { values: found, maps: this.maps, height: this.height, width: this.width };
  }
}

/* A row that takes maps, by its phases. `weights` are (kernel row, kernel column, output, input). */
class Deconvolution {
  constructor(facts, weights, bias) {
    Object.assign(this, facts, { weights: null, bias });
    this.act = ACTIVATIONS[facts.act];
    this.phases = [];
    for (let row = 0; row < this.stride; row++)
      for (let column = 0; column < this.stride; column++)
        this.phases.push(this.phase(row, column, weights));
  }

  /* Output (row + s * t, column + s * u) sums, over `taps`, weights times input (t + y, u + x). */
  phase(row, column, weights) {
    const { kernel, stride, padding, inputs, out } = this;
    const taps = [];
    for (let i = 0; i < kernel; i++)
      for (let j = 0; j < kernel; j++) {
        const y = (row + padding - i) / stride, x = (column + padding - j) / stride;
        if (Number.isInteger(y) && Number.isInteger(x)) taps.push({ y, x, from: i * kernel + j });
      }
    const own = new Float32Array(out * taps.length * inputs);
    taps.forEach(({ from }, tap) => {
      for (let o = 0; o < out; o++) {
        const start = (from * out + o) * inputs;
        own.set(weights.subarray(start, start + inputs), (o * taps.length + tap) * inputs);
      }
    });
    return { row, column, taps, weights: own };
  }

  run(input) {
    const grow = this.kernel + this.outputPadding - 2 * this.padding;
    const height = (input.height - 1) * this.stride + grow;
    const width = (input.width - 1) * this.stride + grow;
    const values = new Float32Array(height * width * this.out);
    for (const phase of this.phases) this.runPhase(phase, input, values, height, width);
    return { values, maps: this.out, height, width };
  }

  runPhase({ row, column, taps, weights }, input, values, height, width) {
    const { stride, out, bias, act, inputs } = this;
    const rows = Math.ceil((height - row) / stride), columns = Math.ceil((width - column) / stride);
    const length = taps.length * inputs;
    const seen = patches(taps, input, rows, columns, length);
    const found = new Float32Array(rows * columns * out);
    products(seen, rows * columns, length, weights, out, found);
    for (let t = 0, at = 0; t < rows; t++)
      for (let u = 0; u < columns; u++) {
        const place = ((row + stride * t) * width + column + stride * u) * out;
        for (let o = 0; o < out; o++) values[place + o] = act(found[at++] + bias[o]);
      }
  }
}

/* What a phase sees of its input at each place: a vector a place, zeros beyond the edge. */
function patches(taps, { values, maps, height, width }, rows, columns, length) {
  const seen = new Float32Array(rows * columns * length);
  let at = 0;
  for (let t = 0; t < rows; t++)
    for (let u = 0; u < columns; u++)
      for (const { y, x } of taps) {
        if (t + y >= 0 && t + y < height && u + x >= 0 && u + x < width) {
          const from = ((t + y) * width + u + x) * maps;
          seen.set(values.subarray(from, from + maps), at);
        }
        at += maps;
      }
  return seen;
}

/* The label, as as many maps more as there are classes: ones in that of the label. */
function withLabel({ values, maps, height, width }, label, classes) {
  const wide = maps + classes, found = new Float32Array(height * width * wide);
  for (let place = 0; place < height * width; place++) {
    found.set(values.subarray(place * maps, (place + 1) * maps), place * wide);
    found[place * wide + maps + label] = 1;
  }
  return { values: found, maps: wide, height, width };
}

class Generator {
  constructor(payload) {
    Object.assign(this, payload);
    const halves = halfTable();
    this.layers = payload.layers.map((facts) => {
      const bits = new Uint16Array(bytesOf(facts.halves).buffer), scales = floatsOf(facts.scales);
      const weights = new Float32Array(bits.length);
      for (let row = 0; row * facts.inputs < bits.length; row++) {
        const end = (row + 1) * facts.inputs, scale = scales[row % facts.out];
        for (let i = row * facts.inputs; i < end; i++) weights[i] = halves[bits[i]] * scale;
      }
      const Row = facts.op === "dense" ? Dense : Deconvolution;
      return new Row(facts, weights, floatsOf(facts.bias));
    });
  }

  /* A picture as RGBA bytes. `damp` multiplies some maps of one row: {layer, maps, factor}. */
  draw(z, label, damp) {
    let x = { values: z, maps: z.length, height: 1, width: 1 };
    this.layers.forEach((layer, number) => {
      x = layer.run(this.classes ? withLabel(x, label, this.classes) : x);
      if (damp && damp.layer === number + 1)
        for (let place = 0; place < x.values.length; place += x.maps)
          for (const map of damp.maps) x.values[place + map] *= damp.factor;
    });
    return this.bytes(x.values);
  }

  /* Uint8ClampedArray rounds as torch does, halves to even, and cuts off at 0 and 255. */
  bytes(values) {
    const [channels, height, width] = this.image;
    const found = new Uint8ClampedArray(height * width * 4);
    for (let place = 0; place < height * width; place++) {
      for (let colour = 0; colour < 3; colour++) {
        const value = values[place * channels + (channels === 1 ? 0 : colour)];
        found[place * 4 + colour] = this.signed ? (value + 1) * 127.5 : value * 255;
      }
      found[place * 4 + 3] = 255;
    }
    return found;
  }
}
