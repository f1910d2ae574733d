/* Controls for values: numbers, texts, choices, files. Each gives [elements, read]; `read()` throws what is wrong with it.

   What is read: { shape, text } with the values as JSON between commas, or { shape, bytes } as the server takes tensors. */
import { counted, make, product } from "./elements.js";

const MOST_FIELDS = 24;
const WHOLE = /^-?(0|[1-9]\d*)$/;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/* Marks the control, so that a screen reader and the eye find it, and throws. */
function refuse(control, message) {
  control.setAttribute("aria-invalid", "true");
  control.focus();
  throw new Error(message);
}

function accepted(...controls) {
  for (const control of controls) control.removeAttribute("aria-invalid");
}

/* What is allowed, in words. */
export function allowed(input) {
  const { low, high, values, enforced } = input;
  const known = (value) => value !== null && value !== undefined;
  const range = known(low) && known(high) ? `${low} to ${high}` : known(low) ? `${low} and more` : known(high) ? `up to ${high}` : "";
  const said = values ? `one of ${counted(values.length, "value")}` : range;
  return said && (enforced ? said : `measured with ${said}`);
}

/* The JSON of one number as it was typed; throws nothing, gives what is wrong instead. */
function number(input, typed) {
  const said = typed.trim();
  const float = /^(FP|BF)/.test(input.datatype);
  if (said === "" || said.toLowerCase() === "nan" || said === "null") {
    return input.null ? ["null", ""] : ["", said ? "no NaN is taken" : "a number is missing"];
  }
  if (input.datatype === "BOOL") return /^(true|false)$/i.test(said) ? [said.toLowerCase(), ""] : ["", "neither true nor false"];
  if (!(float ? NUMBER : WHOLE).test(said)) return ["", float ? "no number" : "no whole number"];
  const { low, high, values, enforced } = input;
  if (enforced && ((low !== null && Number(said) < low) || (high !== null && Number(said) > high))) return ["", `not ${allowed(input)}`];
  if (enforced && values && !values.includes(said)) return ["", `not one of ${values.join(", ").slice(0, 200)}`];
  return [said, ""];
}

/* One number or bool for a row of one value. */
export function oneNumber(input, id, shape, sample) {
  const control = make("input", { id, type: "number", step: /^(FP|BF)/.test(input.datatype) ? "any" : "1", autocomplete: "off", "aria-describedby": `${id}-hint` });
  if (input.enforced && input.low !== null) control.min = input.low;
  if (input.enforced && input.high !== null) control.max = input.high;
  if (sample !== undefined && sample !== null) control.value = String(sample);
  const parts = [make("label", { for: id }, input.name), control];
  if (!input.enforced && input.values) parts.push(suggestions(control, input.values));
  return [parts, () => {
    const [text, wrong] = control.validity.badInput ? ["", "no number"] : number(input, control.value);
    if (wrong) refuse(control, `${input.name}: ${wrong}`);
    accepted(control);
    return { shape, text };
  }];
}

/* Numbers between commas, of one row or several. */
export function numbers(input, id, row, batched, sample) {
  const control = make("textarea", { id, spellcheck: "false", autocomplete: "off", "aria-describedby": `${id}-hint` });
  control.value = sample ? sample.data.map((one) => (one === null ? "NaN" : one)).join(", ") : "";
  const parts = [make("label", { for: id }, input.name), control];
  const known = row.every((size) => typeof size === "number");
  let sizes = null;
  if (!known) {
    sizes = make("input", { id: `${id}-shape`, inputmode: "numeric", autocomplete: "off" });
    sizes.value = (sample ? sample.shape : [...(batched ? [1] : []), ...row]).join(", ");
    parts.push(make("label", { for: `${id}-shape` }, `Shape of ${input.name}`), sizes);
  }
  return [parts, () => {
    const found = control.value.split(/[\s,]+/).filter(Boolean).map((one) => number(input, one));
    const odd = found.findIndex(([, wrong]) => wrong);
    if (odd >= 0) refuse(control, `${input.name}: value ${odd + 1} is ${found[odd][1]}`);
    let shape;
    if (sizes) {
      shape = sizes.value.split(/[\s,]+/).filter(Boolean).map(Number);
      const open = shape.findIndex(Number.isNaN);  // one that is left as its name is what the others leave
      if (open >= 0) shape[open] = found.length / product(shape.filter((size) => !Number.isNaN(size)));
      if (!shape.every((size) => Number.isInteger(size) && size >= 0)) refuse(sizes, `${input.name}: its shape is whole numbers between commas`);
      if (product(shape) !== found.length) refuse(sizes, `${input.name}: the shape has ${counted(product(shape), "value")}; there are ${found.length}`);
    } else {
      const width = product(row);
      const rows = width ? found.length / width : 0;
      if (!Number.isInteger(rows) || !rows || (!batched && rows !== 1)) refuse(control, `${input.name}: a row has ${counted(width, "value")}; there are ${found.length}`);
      shape = batched ? [rows, ...row] : row;
    }
    accepted(control, ...(sizes ? [sizes] : []));
    return { shape, text: found.map(([text]) => text).join(",") };
  }];
}

function suggestions(control, values) {
  const list = make("datalist", { id: `${control.id}-known` }, ...values.map((value) => make("option", { value })));
  control.setAttribute("list", list.id);
  return list;
}

function group(input, count, one) {
  if (count === 1) return one(0, input.name);
  const parts = Array.from({ length: count }, (_, at) => one(at, `${input.name} ${at + 1}`)).flat();
  return [make("fieldset", {}, make("legend", {}, input.name), ...parts)];
}

/* A list to choose from for each value; `values` as the model takes them. Few fields alone can be chosen so. */
export const canChoose = (count) => count >= 1 && count <= MOST_FIELDS;
export function choices(input, id, shape, values, sample) {
  const count = product(shape), controls = [];
  const parts = group(input, count, (at, label) => {
    const control = make("select", { id: `${id}-${at}`, "aria-describedby": `${id}-hint` });
    for (const value of values) control.append(make("option", { value }, value === "" ? "(empty)" : value));
    const filled = sample && String(sample.data[at]);
    if (filled && values.includes(filled)) control.value = filled;
    controls.push(control);
    return [make("label", { for: control.id }, label), control];
  });
  const literal = (value) => (input.datatype === "BYTES" ? JSON.stringify(value) : value);
  return [parts, () => ({ shape, text: controls.map((one) => literal(one.value)).join(",") })];
}

/* A text as it is, for each value; where many are asked, one a line. */
export function texts(input, id, row, batched, sample) {
  const lead = batched ? [1] : [];
  const words = input.values && input.values.some((value) => value.length > 1) ? input.values : null;
  if (row.every((size) => typeof size === "number") && canChoose(product(row))) {
    const count = product(row), controls = [];
    const parts = group(input, count, (at, label) => {
      const control = make(words || count > 1 ? "input" : "textarea", { id: `${id}-${at}`, autocomplete: "off", "aria-describedby": `${id}-hint` });
      control.value = sample ? sample.data[at] : "";
      controls.push(control);
      return [make("label", { for: control.id }, label), control, ...(words ? [suggestions(control, words)] : [])];
    });
    return [parts, () => ({ shape: [...lead, ...row], text: controls.map((one) => JSON.stringify(one.value)).join(",") })];
  }
  const control = make("textarea", { id, autocomplete: "off", "aria-describedby": `${id}-hint` });
  control.value = sample ? sample.data.join("\n") : "";
  return [[make("label", { for: id }, `${input.name}, a text in each line`), control], () => {
    const lines = control.value.split("\n");
    const fixed = row.map((size) => (typeof size === "number" ? size : 0));
    const open = fixed.filter((size) => !size).length;
    const rest = product(fixed.filter(Boolean));
    if (open > 1 || lines.length % rest || (!open && lines.length !== rest)) refuse(control, `${input.name}: its lines do not make [${row.join(", ")}]`);
    accepted(control);
    return { shape: [...lead, ...fixed.map((size) => size || lines.length / rest)], text: lines.map((one) => JSON.stringify(one)).join(",") };
  }];
}

/* The bytes of a file, as they are. */
export function file(input, id, batched) {
  const control = make("input", { id, type: "file", "aria-describedby": `${id}-hint` });
  const told = make("p", { class: "soft" }, "no file yet");
  let bytes = null;
  control.addEventListener("change", async () => {
    bytes = control.files.length ? new Uint8Array(await control.files[0].arrayBuffer()) : null;
    told.textContent = bytes ? counted(bytes.length, "byte") : "no file yet";
  });
  return [[make("label", { for: id }, `${input.name}: a file`), control, told], () => {
    if (!bytes) refuse(control, `${input.name}: choose a file`);
    accepted(control);
    return { shape: batched ? [1, bytes.length] : [bytes.length], bytes };
  }];
}
