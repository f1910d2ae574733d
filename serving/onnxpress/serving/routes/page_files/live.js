/* How busy each version is: rates and latencies between two looks at the metrics, and how many requests shared a run. */
import { bar, counted, make, round } from "./elements.js";

const EVERY = 2000;
const LINE = /^([a-zA-Z_:][\w:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/* name → [[labels, value]] */
export function parsed(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const match = LINE.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] || "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, (_, one) => (one === "n" ? "\n" : one));
    if (!found.has(match[1])) found.set(match[1], []);
    found.get(match[1]).push([labels, Number(match[3])]);
  }
  return found;
}

/* A histogram's buckets, each alone: [upper bound, count]. */
function buckets(metrics, name, mine) {
  const sums = new Map();
  for (const [labels, value] of metrics.get(`${name}_bucket`) || []) {
    if (!mine(labels)) continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    sums.set(bound, (sums.get(bound) || 0) + value);
  }
  let below = 0;
  return [...sums].sort(([a], [b]) => a - b).map(([bound, count]) => {
    const own = count - below;
    below = count;
    return [bound, own];
  });
}

/* The bound under which a share of what was counted since `before` lies; undefined where nothing was. */
function quantile(now, before, share) {
  const counts = now.map(([bound, count], at) => [bound, count - (before[at] ? before[at][1] : 0)]);
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  let left = total * share, lower = 0;
  for (const [bound, count] of total > 0 ? counts : []) {
    if (left <= count) return bound === Infinity ? lower : lower + ((bound - lower) * left) / (count || 1);
    left -= count;
    lower = bound;
  }
  return undefined;
}

function look(metrics, name, version) {
  const mine = (labels) => labels.model === name && labels.version === version;
  const sum = (family) => (metrics.get(family) || []).filter(([labels]) => mine(labels)).reduce((total, [, value]) => total + value, 0);
  const up = (metrics.get("onnxpress_model_up") || []).find(([labels]) => mine(labels));
  return {
    runs: sum("onnxpress_runs_total"), seconds: sum("onnxpress_run_seconds_total"), requests: sum("onnxpress_batch_requests_sum"),
    shared: sum("onnxpress_batch_requests_count"), waiting: sum("onnxpress_waiting"), batches: buckets(metrics, "onnxpress_batch_requests", mine), down: up ? up[1] === 0 : false,
    latencies: buckets(metrics, "onnxpress_request_seconds", mine),
  };
}

const milliseconds = (seconds) => `${round(1000 * seconds)} ms`;

function say(now, before, elapsed) {
  if (!now.shared) return "no requests yet";
  const runs = before ? now.shared - before.shared : 0;
  if (runs <= 0) return `idle; ${milliseconds(now.seconds / now.runs)} a run and ${round(now.requests / now.shared)} requests a batch so far`;
  const said = [`${round((now.requests - before.requests) / elapsed)} requests a second`];
  const [half, most] = [0.5, 0.99].map((share) => quantile(now.latencies, before.latencies, share));
  if (half !== undefined) said.push(`half answered in ${milliseconds(half)}, 99 % in ${milliseconds(most)}`);
  said.push(`${milliseconds((now.seconds - before.seconds) / (now.runs - before.runs))} a run`, `${round((now.requests - before.requests) / runs)} requests a batch`);
  if (now.waiting) said.push(`${now.waiting} waiting`);
  return said.join(", ");
}

function table(batches) {
  const all = batches.reduce((sum, [, count]) => sum + count, 0);
  const body = make("tbody");
  let above = 0;
  for (const [bound, count] of batches) {
    const from = above + 1;
    const size = bound === Infinity ? `${from} and more` : from === bound ? String(bound) : `${from} to ${bound}`;
    above = bound;
    if (count) body.append(make("tr", {}, make("th", { scope: "row" }, size), make("td", { class: "number" }, count.toLocaleString("en")), make("td", {}, bar(count / all))));
  }
  const head = make("tr", {}, make("th", { scope: "col" }, "requests in a run"), make("th", { scope: "col", class: "number" }, "runs"),
    make("th", { scope: "col" }, "share"));
  return make("table", {}, make("caption", {}, `Batch sizes of ${counted(all, "run")}`), make("thead", {}, head), body);
}

/* `lives`: [name, version, { line, sizes, state }] of every version; `changed` is called where other versions are served. */
export function watch(lives, changed) {
  const before = new Map();
  let at = performance.now();
  const known = new Set(lives.map(([name, version]) => `${name}/${version}`));
  const once = async () => {
    if (document.hidden) return;
    try {
      const metrics = parsed(await (await fetch("metrics")).text());
      const now = performance.now(), elapsed = (now - at) / 1000;
      at = now;
      for (const [name, version, { line, sizes, state }] of lives) {
        const key = `${name}/${version}`, found = look(metrics, name, version);
        line.textContent = say(found, before.get(key), elapsed);
        state.textContent = found.down ? "down: its process is started again" : "ready";
        state.className = found.down ? "bad" : "good";
        const drawn = JSON.stringify(found.batches);
        if (found.shared && sizes.dataset.drawn !== drawn) {
          sizes.dataset.drawn = drawn;
          sizes.replaceChildren(table(found.batches));
        }
        before.set(key, found);
      }
      const served = (metrics.get("onnxpress_runs_total") || []).map(([labels]) => `${labels.model}/${labels.version}`);
      if (served.length !== known.size || served.some((one) => !known.has(one))) changed();
    } catch { /* the server is leaving: the next look may find it again */ }
  };
  once();
  setInterval(once, EVERY);
}
