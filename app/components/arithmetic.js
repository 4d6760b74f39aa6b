// The arithmetic of thresholds on a trace: pure functions, no page. Thresholds are float32, as in core/analysis/sweep.py,
// and every count is an integer, so the numbers are the same here and there (tests/browser/test_arithmetic.py).

// A trace as columns.
//   scores: one Float32Array per early exit; "higher leaves"; NaN never leaves
//   right:  one Uint8Array per exit, the last one included; 1 where that exit's answer is right
//   cost:   relative cost of leaving at each exit
export function makeTrace(scores, right, cost) {
  const examples = right[0].length;
  const early = scores.length;
  const rows = new Float32Array(examples * early); // example by example: what a frame walks through
  for (let n = 0; n < early; n++) for (let i = 0; i < examples; i++) rows[i * early + n] = scores[n][i];
  return { scores, rows, right, cost, examples, exits: right.length };
}

// Thresholds as the comparison uses them: float32, and out of reach where an exit is switched off.
export function float32Thresholds(values, off, earlyExits) {
  const thresholds = new Float32Array(earlyExits);
  for (let n = 0; n < earlyExits; n++) {
    thresholds[n] = off[n] ? Infinity : Math.fround(values.length === 1 ? values[0] : values[n]);
  }
  return thresholds;
}

// The exit every example takes: the first whose score reaches its threshold, else the last. Fills `out`, a Uint8Array.
// With a tally (see `makeTally`) it also counts the bars of the histograms on the way.
export function route(trace, thresholds, out, tally = null) {
  const { rows, examples } = trace;
  const early = trace.scores.length;
  if (!tally) {
    for (let i = 0, row = 0; i < examples; i++, row += early) {
      let n = 0;
      while (n < early && !(rows[row + n] >= thresholds[n])) n++;
      out[i] = n;
    }
    return out;
  }
  const { slots, bars } = tally;
  bars.fill(0);
  for (let i = 0, row = 0; i < examples; i++, row += early) {
    let n = 0;
    let base = 0;
    while (n < early && !(rows[row + n] >= thresholds[n])) {
      bars[base + slots[row + n] + 2]++;
      n++;
      base += STRIDE;
    }
    if (n < early) bars[base + slots[row + n]]++;
    out[i] = n;
  }
  return out;
}

// What a routing amounts to.
//   -> {counts, right: per exit; accuracy, cost: means; accuracyError, costError: their standard errors}
export function operatingPoint(trace, exits) {
  const counts = new Int32Array(trace.exits);
  const right = new Int32Array(trace.exits);
  for (let i = 0; i < trace.examples; i++) {
    const n = exits[i];
    counts[n]++;
    right[n] += trace.right[n][i];
  }
  return summary(trace, counts, right.reduce((a, b) => a + b, 0), right);
}

function summary(trace, counts, rightTotal, right = null) {
  const n = trace.examples;
  let total = 0;
  for (let e = 0; e < trace.exits; e++) total += counts[e] * trace.cost[e];
  const accuracy = rightTotal / n;
  const cost = total / n;
  let squares = 0;
  for (let e = 0; e < trace.exits; e++) squares += counts[e] * (trace.cost[e] - cost) ** 2;
  return {
    counts, right, accuracy, cost,
    accuracyError: Math.sqrt(accuracy * (1 - accuracy) / n),
    costError: Math.sqrt(squares) / n,
  };
}

// Accuracy and cost for every shared threshold. An example changes its exit only where T passes a running maximum of its
// scores, so it is enough to sort those values and to move all examples tied at one of them together.
//   -> {threshold, accuracy, cost}; row k holds for threshold[k+1] < T <= threshold[k], row 0 is "never leave early"
export function sweep(trace, off) {
  const { scores, right, cost, examples } = trace;
  const early = scores.length;
  const example = new Int32Array(examples * early);
  const exit = new Uint8Array(examples * early);
  const value = new Float32Array(examples * early);
  let size = 0;
  for (let i = 0; i < examples; i++) {
    let highest = -Infinity;
    for (let n = 0; n < early; n++) {
      const score = scores[n][i];
      if (!off[n] && score > highest) {
        highest = score;
        value[size] = score;
        example[size] = i;
        exit[size] = n;
        size++;
      }
    }
  }
  // float32 bits of numbers >= 0 sort as the numbers do; bits and position together fit into 53 bits
  const bits = new Uint32Array(value.buffer, 0, size);
  const keys = new Float64Array(size);
  const room = 2 ** Math.ceil(Math.log2(Math.max(2, size)));
  for (let k = 0; k < size; k++) keys[k] = bits[k] * room + k;
  keys.sort();

  const at = new Uint8Array(examples).fill(early); // the exit each example takes so far
  const counts = new Float64Array(trace.exits);
  counts[early] = examples;
  let rightTotal = 0;
  for (let i = 0; i < examples; i++) rightTotal += right[early][i];
  const rows = { threshold: new Float32Array(size + 1), accuracy: new Float64Array(size + 1), cost: new Float64Array(size + 1) };
  let row = 0;
  const write = (threshold) => {
    let total = 0;
    for (let e = 0; e < trace.exits; e++) total += counts[e] * cost[e];
    rows.threshold[row] = threshold;
    rows.accuracy[row] = rightTotal / examples;
    rows.cost[row] = total / examples;
    row++;
  };
  write(1);
  for (let k = size - 1; k >= 0;) {
    const threshold = value[keys[k] % room];
    for (; k >= 0 && value[keys[k] % room] === threshold; k--) {
      const event = keys[k] % room;
      const i = example[event];
      // an example's running maxima rise from exit to exit, so falling thresholds move it towards the first exit
      counts[at[i]]--;
      rightTotal -= right[at[i]][i];
      at[i] = exit[event];
      counts[at[i]]++;
      rightTotal += right[at[i]][i];
    }
    write(threshold);
  }
  return {
    threshold: rows.threshold.subarray(0, row),
    accuracy: rows.accuracy.subarray(0, row),
    cost: rows.cost.subarray(0, row),
  };
}

// Everybody leaves at exit n. -> [{exit, accuracy, cost}]
export function always(trace) {
  return trace.right.map((column, exit) => {
    let total = 0;
    for (let i = 0; i < trace.examples; i++) total += column[i];
    return { exit, accuracy: total / trace.examples, cost: trace.cost[exit] };
  });
}

// The oracle with the first 1, 2, ..., N exits at hand: leave at the first exit that is right, at the first one if none is.
// -> [{accuracy, cost}], the last one is the oracle
export function oracle(trace, off) {
  const points = [];
  const first = new Uint8Array(trace.examples).fill(255);
  const counts = new Float64Array(trace.exits);
  let start = 0;
  while (start < trace.exits - 1 && off[start]) start++;
  let rightTotal = 0;
  counts[start] = trace.examples;
  for (let n = start; n < trace.exits; n++) {
    if (n < trace.exits - 1 && off[n]) continue;
    for (let i = 0; i < trace.examples; i++) {
      if (first[i] === 255 && trace.right[n][i]) {
        first[i] = n;
        counts[start]--;
        counts[n]++;
        rightTotal++;
      }
    }
    const { accuracy, cost } = summary(trace, counts, rightTotal);
    points.push({ accuracy, cost });
  }
  return points;
}

// Where a score stands on the axis, 0..1. "even" is the score itself; "stretched" counts nines: 0, 0.9, 0.99, ... are
// equally far apart, up to the last float32 below 1.
const NINES = 7.25;
export function position(score, stretched) {
  if (!stretched) return Math.min(1, Math.max(0, score));
  return score >= 1 ? 1 : Math.min(1, Math.max(0, -Math.log10(1 - Math.max(0, score)) / NINES));
}

// The threshold at a place on the axis, rounded to what a person would write down.
export function thresholdAt(place, stretched) {
  if (place >= 1) return 1;
  if (place <= 0) return 0;
  if (!stretched) return Math.round(place * 1000) / 1000;
  const rest = 10 ** (-place * NINES);
  const digits = Math.min(9, Math.max(2, Math.ceil(-Math.log10(rest)) + 1));
  return Number((1 - rest).toFixed(digits));
}

// What it takes to count bars: for each example and early exit the slot it falls into, and room for the counts.
// Of the examples that reach exit n, bars[n * STRIDE + bin * 4 + k] counts by k: 0 leaves right, 1 leaves wrong, 2 goes on
// though right, 3 goes on wrong, right and wrong by that exit's own answer. A NaN falls into a slot that nobody draws.
const STRIDE = 260;
const NOWHERE = 255;
export function makeTally(trace, bins, stretched) {
  const early = trace.scores.length;
  const slots = new Uint8Array(trace.examples * early);
  for (let n = 0; n < early; n++) {
    const column = trace.scores[n];
    const right = trace.right[n];
    for (let i = 0; i < trace.examples; i++) {
      const score = column[i];
      const bin = score === score ? Math.min(bins - 1, Math.floor(position(score, stretched) * bins)) : -1;
      slots[i * early + n] = bin < 0 ? NOWHERE : bin * 4 + (right[i] ? 0 : 1);
    }
  }
  return { slots, bars: new Int32Array(early * STRIDE), stride: STRIDE };
}

// All examples in each bin of an exit, whoever reaches it.
export function binTotals(trace, tally, n, bins) {
  const early = trace.scores.length;
  const totals = new Int32Array(bins);
  for (let i = 0; i < trace.examples; i++) {
    const slot = tally.slots[i * early + n];
    if (slot !== NOWHERE) totals[slot >> 2]++;
  }
  return totals;
}
