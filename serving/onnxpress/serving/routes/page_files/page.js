"use strict";
/* What is served, a form for each model made from its signature, and its answers. Nothing but this server is asked. */

const MOST_ROWS = 200;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

async function ask(path, body) {
  const reply = await fetch(path, body === undefined ? {} : { method: "POST", body });
  const text = await reply.text();
  let found;
  try { found = JSON.parse(text); } catch { found = { error: text.slice(0, 300) }; }
  if (!reply.ok) throw new Error(found.error || `the server answered ${reply.status}`);
  return found;
}

const inPath = (name, version) => `/v2/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`;

function facts(model, version) {
  const told = model.parameters || {};
  const list = make("dl");
  const add = (name, value, kind = "") => {
    if (value !== undefined && value !== "") list.append(make("dt", {}, name), make("dd", kind ? { class: kind } : {}, value));
  };
  add("State", "ready", "good");
  if (told.verified) {
    add("Evidence", `same as its source: worst error ${round(told.equivalence_multiple)} of ${told.equivalence_limit} noise floors`, "good");
  } else if (told.derived) add("Evidence", told.derived);
  else if (told.accepted_refusal) add("Evidence", `refused, and published knowingly: ${told.accepted_refusal}`, "bad");
  else add("Evidence", "never measured against its source", "bad");
  if (told.self_test_multiple !== undefined) {
    add("Self-test here", `${told.self_test_cases} golden ${told.self_test_cases === 1 ? "sample" : "samples"}, worst ${round(told.self_test_multiple)} noise floors`);
  }
  const floats = model.inputs.concat(model.outputs).map((one) => one.datatype).filter((one) => /^(FP|BF)/.test(one));
  add("Precision", told.precision || [...new Set(floats)].join(", "));
  add("Runs on", Object.entries(told.nodes || {}).map(([provider, count]) => `${provider} (${count} ${count === 1 ? "node" : "nodes"})`).join(", "));
  add("Source", told.source_framework);
  add("Rows", told.rows);
  const report = make("a", { href: `/page/report/${encodeURIComponent(model.name)}/${version}` }, "equivalence report");
  if (told.equivalence_multiple !== undefined) add("Report", report);
  const live = make("dd", { class: "live" }, "no requests yet");
  list.append(make("dt", {}, "Live"), live);
  return [list, live];
}

const round = (value) => (typeof value === "number" ? Number(value.toPrecision(3)).toString() : "unknown");

/* One field for an input, filled with its golden sample; `read` gives the tensor's JSON as text. */
function field(input, golden, id) {
  const shape = input.shape;
  const text = input.datatype === "BYTES";
  const known = shape.slice(1).every((size) => size >= 0);
  const holds = golden ? golden.data.map((one) => (text ? JSON.stringify(one) : String(one))) : [];
  const single = golden ? golden.data.length === 1 : known && shape.slice(1).reduce((a, b) => a * b, 1) === 1;
  const box = make("div", { class: "field" });
  const said = `${input.datatype} [${shape.map((size) => (size < 0 ? "any" : size)).join(", ")}]`;
  const hint = text ? "texts in quotes, between commas" : input.datatype === "BOOL" ? "true or false, between commas"
    : "numbers between commas, null for NaN";
  const control = make(single ? "input" : "textarea", {
    id, "aria-describedby": `${id}-hint`, spellcheck: "false", autocomplete: "off",
  });
  control.value = holds.join(", ");
  box.append(make("label", { for: id }, input.name), control, make("p", { id: `${id}-hint`, class: "soft" }, `${said}: ${hint}`));
  let sizes = null;
  if (!known) {
    sizes = make("input", { id: `${id}-shape`, inputmode: "numeric", autocomplete: "off" });
    sizes.value = (golden ? golden.shape : shape).join(", ");
    box.append(make("label", { for: `${id}-shape` }, `Shape of ${input.name}`), sizes);
  }
  const read = () => {
    const item = text ? /^"(?:[^"\\]|\\.)*"$/ : input.datatype === "BOOL" ? /^(true|false)$/
      : /^(-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|null)$/;
    let values;
    if (text) {
      try {
        const list = JSON.parse(`[${control.value}]`);
        if (!list.every((one) => typeof one === "string")) throw new Error();
        values = list.map((one) => JSON.stringify(one));
      } catch {
        values = single && !control.value.includes('"') ? [JSON.stringify(control.value)] : [""];
      }
    } else values = control.value.split(/[\s,]+/).filter(Boolean);
    const odd = values.findIndex((one) => !item.test(one));
    control.setAttribute("aria-invalid", String(odd >= 0));
    if (odd >= 0) { control.focus(); throw new Error(`${input.name}: ${hint}; value ${odd + 1} is not`); }
    let made = shape.slice();
    if (sizes) made = sizes.value.split(/[\s,]+/).filter(Boolean).map(Number);
    else if (shape[0] < 0) {
      const width = shape.slice(1).reduce((a, b) => a * b, 1);
      if (width && values.length % width) { control.focus(); throw new Error(`${input.name}: a row has ${width} values; there are ${values.length}`); }
      made[0] = width ? values.length / width : 0;
    }
    return `{"name":${JSON.stringify(input.name)},"datatype":"${input.datatype}","shape":${JSON.stringify(made)},"data":[${values.join(",")}]}`;
  };
  return [box, read];
}

/* One output: a row of the table for each value, with its label and a bar where it is a number. */
function shown(output, labels) {
  const rows = output.shape.length ? output.shape[0] : 1;
  const width = rows ? output.data.length / rows : 0;
  const names = labels || [];
  const numeric = output.data.every((one) => typeof one === "number" || one === null);
  const scale = Math.max(...output.data.slice(0, MOST_ROWS).map((one) => Math.abs(one) || 0), 0);
  const whole = numeric && output.data.every((one) => one === null || (one >= 0 && one <= 1)) ? 1 : scale;
  const drawn = numeric && width > 1;
  const table = make("table", {}, make("caption", {}, `${output.name}: ${output.datatype} [${output.shape.join(", ")}]`));
  const head = make("tr", {}, make("th", { scope: "col" }, width > 1 && names.length === width ? "label" : "value of"),
    make("th", { scope: "col", class: "number" }, "value"));
  if (drawn) head.append(make("th", { scope: "col" }, "of " + round(whole)));
  table.append(make("thead", {}, head));
  const body = make("tbody");
  output.data.slice(0, MOST_ROWS).forEach((value, at) => {
    const row = Math.floor(at / (width || 1)), column = at % (width || 1);
    const label = width > 1 ? (names.length === width ? names[column] : `[${column}]`) : "";
    const where = rows > 1 ? `row ${row + 1} ${label}`.trim() : label || "answer";
    const said = width === 1 && Number.isInteger(value) && names[value] !== undefined ? `${names[value]} (${value})` : String(value);
    const line = make("tr", {}, make("th", { scope: "row" }, where), make("td", { class: "number" }, typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : said));
    if (drawn) {
      const bar = make("div", { class: value < 0 ? "bar below" : "bar" });
      bar.style.width = `${whole ? Math.min(100, 100 * Math.abs(value || 0) / whole) : 0}%`;
      line.append(make("td", { class: "track" }, bar));
    }
    body.append(line);
  });
  table.append(body);
  const box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `answer ${output.name}` }, table);
  if (output.data.length > MOST_ROWS) box.append(make("p", { class: "soft" }, `and ${output.data.length - MOST_ROWS} more values`));
  return box;
}

function form(model, version, golden, number) {
  const labels = (model.parameters || {}).labels || {};
  const asked = make("form", { "aria-label": `Ask ${model.name} version ${version}` });
  const answer = make("div", { "aria-live": "polite", class: "answer" });
  const readers = model.inputs.map((input, at) => {
    const sample = golden && golden.find((one) => one.name === input.name);
    const [box, read] = field(input, sample, `m${number}-${at}`);
    asked.append(box);
    return read;
  });
  const button = make("button", { type: "submit" }, "Ask");
  asked.append(button, make("p", { class: "soft" }, golden ? "Filled in: a golden sample of this version." : "There is no golden sample to fill in."));
  asked.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const body = `{"inputs":[${readers.map((read) => read()).join(",")}]}`;
      const started = performance.now();
      const found = await ask(`${inPath(model.name, version)}/infer`, body);
      const took = performance.now() - started;
      answer.replaceChildren(make("p", { class: "soft" }, `Answered in ${round(took)} ms, seen from this browser.`),
        ...found.outputs.map((output) => shown(output, labels[output.name])));
    } catch (error) {
      answer.replaceChildren(make("p", { class: "bad", role: "alert" }, error.message));
    }
  });
  return [asked, answer];
}

/* Rates, run times and batch sizes between two looks at the metrics. */
function watch(lives) {
  const read = (text, name, model, version) => {
    const labels = `model="${model.replace(/\\/g, "\\\\").replace(/"/g, '\\"')}",version="${version}"`;
    const line = text.split("\n").find((one) => one.startsWith(`${name}{${labels}}`));
    return line ? Number(line.slice(line.lastIndexOf(" "))) : 0;
  };
  let before = new Map(), at = performance.now();
  const look = async () => {
    if (document.hidden) return;
    try {
      const text = await (await fetch("/metrics")).text();
      const now = performance.now();
      for (const [key, [model, version, element]] of lives) {
        const counts = ["onnxpress_runs_total", "onnxpress_run_seconds_total", "onnxpress_batch_requests_sum"]
          .map((name) => read(text, name, model, version));
        const last = before.get(key);
        before.set(key, counts);
        if (!last) continue;
        const [runs, seconds, requests] = counts.map((value, index) => value - last[index]);
        if (runs > 0) {
          element.textContent = `${round(requests / ((now - at) / 1000))} requests a second, ${round(1000 * seconds / runs)} ms a run, ${round(requests / runs)} requests a batch`;
        } else if (counts[0] > 0) element.textContent = `idle; ${round(1000 * counts[1] / counts[0])} ms a run so far`;
      }
      at = now;
    } catch { /* the server is leaving: the next look may find it again */ }
  };
  look();
  setInterval(look, 2000);
}

async function start() {
  const state = document.getElementById("state"), main = document.getElementById("models");
  try {
    const [server, index, api] = await Promise.all([ask("/v2"), ask("/v2/repository/index"), ask("/openapi.json")]);
    const ready = index.filter((one) => one.state === "READY");
    const lives = new Map();
    for (const [number, one] of ready.entries()) {
      const path = inPath(one.name, one.version);
      const model = await ask(path);
      const operation = (api.paths[`${path}/infer`] || {}).post;
      const example = operation && operation.requestBody.content["application/json"].example;
      const [list, live] = facts(model, one.version);
      const [asked, answer] = form(model, one.version, example && example.inputs, number);
      const title = make("h2", { id: `t${number}` }, `${one.name} `, make("span", { class: "soft" }, `version ${one.version}`));
      main.append(make("section", { class: "model", "aria-labelledby": `t${number}` }, title,
        make("div", { class: "halves" }, make("div", {}, list, asked), answer)));
      lives.set(`${one.name}/${one.version}`, [one.name, one.version, live]);
    }
    const failed = index.filter((one) => one.state !== "READY");
    document.getElementById("failed").hidden = !failed.length;
    document.getElementById("reasons").append(...failed.map((one) => make("li", {}, `${one.name} ${one.version}: ${one.reason}`)));
    state.textContent = `${server.version}: ${ready.length} ${ready.length === 1 ? "version is" : "versions are"} served`;
    watch(lives);
  } catch (error) {
    state.textContent = error.message;
    state.className = "bad";
  }
}

start();
