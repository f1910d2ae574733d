/* What is served: each version's facts, a form made from its signature, its answers. Nothing but this server is asked. */
import { ask, counted, make, round, versionPath } from "./elements.js";
import { shown } from "./answers.js";
import { field, request } from "./fields.js";
import { watch } from "./live.js";

const MOST_OPEN = 3;

const inPath = (name, version) => `v2/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`;

/* In few words, for the line of a version that is not opened. */
function inShort(model) {
  const told = model.parameters || {};
  const how = told.verified ? "same as its source" : told.derived ? `derived as ${told.precision}` : told.accepted_refusal ? "refused, published knowingly" : "never measured";
  const where = Object.keys(told.nodes || {}).map((provider) => provider.replace("ExecutionProvider", "")).join(" and ");
  return ["ready", where, precision(model), how].filter(Boolean).join(" · ");
}

function precision(model) {
  const floats = model.inputs.concat(model.outputs).map((one) => one.datatype).filter((one) => /^(FP|BF)/.test(one));
  return (model.parameters || {}).precision || [...new Set(floats)].join(", ");
}

function evidence(told) {
  if (told.verified) return [`same as its source: worst error ${round(told.equivalence_multiple)} of ${told.equivalence_limit} noise floors`, "good"];
  if (told.derived) return [told.derived, ""];
  if (told.accepted_refusal) return [`refused, and published knowingly: ${told.accepted_refusal}`, "bad"];
  return ["never measured against its source", "bad"];
}

function facts(model, version, hasReport) {
  const told = model.parameters || {};
  const list = make("dl");
  const add = (name, value, kind = "") => {
    const said = make("dd", kind ? { class: kind } : {}, value);
    if (value !== undefined && value !== "") list.append(make("dt", {}, name), said);
    return said;
  };
  const state = add("State", "ready", "good");
  add("Evidence", ...evidence(told));
  const report = make("a", { href: `page/report/${versionPath(model.name, version)}` }, "equivalence report");
  const measured = told.equivalence_multiple !== undefined;
  add("Report", hasReport ? report : measured ? "none beside the model; these figures are its manifest's" : "none: it was published without being measured");
  if (told.self_test_multiple !== undefined) {
    add("Self-test here", `${counted(told.self_test_cases, "golden sample")}, worst ${round(told.self_test_multiple)} noise floors`);
  }
  add("Precision", precision(model));
  add("Runs on", Object.entries(told.nodes || {}).map(([provider, count]) => `${provider} (${counted(count, "node")})`).join(", "));
  add("Source", told.source_framework);
  add("Rows", told.rows);
  add("Threshold", Object.entries(told.thresholds || {}).map(([name, value]) => `${name} ${round(value)}`).join(", "));
  const line = add("Live", "no requests yet");
  const sizes = make("div", { class: "sizes" });
  return [make("div", {}, list, sizes), { line, sizes, state }];
}

function form(model, version, described, number) {
  const labels = (model.parameters || {}).labels || {};
  const asked = make("form", { "aria-label": `Ask ${model.name} version ${version}`, novalidate: "" });
  const answer = make("div", { "aria-live": "polite", class: "answer" });
  const readers = described.inputs.map((input, at) => {
    const [box, read] = field(input, `m${number}-${at}`);
    asked.append(box);
    return read;
  });
  const filled = described.inputs.every((input) => input.sample);
  asked.append(make("button", { type: "submit" }, "Ask"),
    make("p", { class: "soft" }, filled ? "Filled in: a golden sample of this version." : "There is no golden sample to fill in."));
  asked.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const wanted = request(described.inputs, readers.map((read) => read()));
      const started = performance.now();
      const found = await ask(`${inPath(model.name, version)}/infer`, wanted);
      const took = performance.now() - started;
      answer.replaceChildren(make("p", { class: "soft" }, `Answered in ${round(took)} ms, seen from this browser.`),
        ...found.outputs.map((output) => shown(output, labels[output.name], `${model.name} version ${version}`)));
    } catch (error) {
      answer.replaceChildren(make("p", { class: "bad", role: "alert" }, error.message));
    }
  });
  return [asked, answer];
}

/* One version; its form is made when it is opened. */
function section(one, number, open) {
  const name = make("h2", { id: `t${number}` }, `${one.name} `, make("span", { class: "soft" }, `version ${one.version}`));
  const said = make("span", { class: "soft" });
  const box = make("details", { class: "model" }, make("summary", {}, name, " ", said));
  const metadata = ask(inPath(one.name, one.version));
  metadata.then((model) => { said.textContent = inShort(model); }, () => {});
  const live = { line: make("span"), sizes: make("span"), state: make("span") };
  const fill = async () => {
    box.removeEventListener("toggle", fill);
    const waiting = make("p", { class: "soft" }, "Asking the server…");
    box.append(waiting);
    try {
      const [model, described] = await Promise.all([metadata, ask(`page/form/${versionPath(one.name, one.version)}`)]);
      const [told, parts] = facts(model, one.version, described.report);
      Object.assign(live, parts);
      const [asked, answer] = form(model, one.version, described, number);
      waiting.replaceWith(make("div", { class: "halves" }, make("div", {}, told, asked), answer));
    } catch (error) {
      waiting.replaceWith(make("p", { class: "bad", role: "alert" }, error.message));
    }
  };
  box.addEventListener("toggle", fill);
  box.open = open;
  return [box, [one.name, one.version, live]];
}

async function start() {
  const state = document.getElementById("state"), main = document.getElementById("models");
  try {
    const [server, index] = await Promise.all([ask("v2"), ask("v2/repository/index")]);
    const ready = index.filter((one) => one.state === "READY");
    const made = ready.map((one, number) => section(one, number, ready.length <= MOST_OPEN));
    main.append(...made.map(([box]) => box));
    const failed = index.filter((one) => one.state !== "READY");
    document.getElementById("failed").hidden = !failed.length;
    document.getElementById("reasons").append(...failed.map((one) => make("li", {}, `${one.name} ${one.version}: ${one.reason}`)));
    const said = `${server.version}: ${counted(ready.length, "version is", "versions are")} served`;
    state.textContent = said;
    watch(made.map(([, life]) => life), () => { state.textContent = `${said}. Others are served now: load this page again.`; });
  } catch (error) {
    state.textContent = error.message;
    state.className = "bad";
  }
}

start();
