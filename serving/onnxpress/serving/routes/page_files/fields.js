/* An input's field, by what its signature says of it: picture, file, choice, text, number or numbers. */
import { make, product } from "./elements.js";
import * as controls from "./controls.js";
import { layout, picture } from "./picture.js";

/* [element, read]; where an input can be given in several ways, the first is chosen until another is. */
export function field(input, id) {
  const ways = waysOf(input, id);
  const box = make("div", { class: "field" });
  const sizes = input.shape.map((size) => (typeof size === "number" ? size : `any ${size}`)).join(", ");
  const hint = [`${input.datatype} [${sizes}]`, controls.allowed(input), input.null ? "an empty number is NaN" : ""].filter(Boolean).join("; ");
  let chosen = 0;
  if (ways.length > 1) {
    const way = make("select", { id: `${id}-way` }, ...ways.map(([name], at) => make("option", { value: String(at) }, name)));
    box.append(make("label", { for: way.id }, `Give ${input.name} as`), way);
    way.addEventListener("change", () => {
      chosen = Number(way.value);
      ways.forEach(([, part], at) => { part.hidden = at !== chosen; });
    });
  }
  ways.forEach(([, part], at) => { part.hidden = at !== 0; });
  box.append(...ways.map(([, part]) => part), make("p", { id: `${id}-hint`, class: "soft" }, hint));
  return [box, () => ways[chosen][2]()];
}

function waysOf(input, id) {
  const { datatype, sample } = input;
  // The first size, where it varies, is that of a batch; a lone size that varies may be a length all the same.
  const batched = typeof input.shape[0] === "string";
  const row = batched ? input.shape.slice(1) : input.shape;
  const fixed = row.every((size) => typeof size === "number");
  const shape = [...(batched ? [1] : []), ...row];
  const few = fixed && controls.canChoose(product(row));
  const one = (made) => [["", make("div", {}, ...made[0]), made[1]]];
  if (few && input.enforced && input.values) return one(controls.choices(input, id, shape, input.values, sample));
  if (datatype === "BYTES") return one(controls.texts(input, id, row, batched, sample));
  if (few && datatype === "BOOL") return one(controls.choices(input, id, shape, ["false", "true"], sample));
  const bytesOnly = datatype === "UINT8" && batched && !row.length;
  if (fixed && product(row) === 1 && !(sample ? sample.data.length > 1 : bytesOnly)) {
    return one(controls.oneNumber(input, id, shape, sample ? sample.data[0] : undefined));
  }
  const typed = () => controls.numbers(input, `${id}-numbers`, row, batched, sample);
  const drawn = layout(datatype, row);
  const several = (...made) => made.map(([name, [parts, read]]) => [name, make("div", {}, ...parts), read]);
  if (drawn) return several(["a picture", picture(input, id, drawn, batched)], ["numbers", typed()]);
  const bytes = datatype === "UINT8" && !fixed && row.length === 1 ? controls.file(input, id, batched)
    : bytesOnly ? controls.file(input, id, false) : null;
  if (bytes) return several(["a file", bytes], ["numbers", typed()]);
  return one(controls.numbers(input, id, row, batched, sample));
}

/* The request: JSON, with the inputs that are bytes behind it. */
export function request(inputs, given) {
  const parts = [], tensors = inputs.map((input, at) => {
    const head = `"name":${JSON.stringify(input.name)},"datatype":"${input.datatype}","shape":${JSON.stringify(given[at].shape)}`;
    if (!given[at].bytes) return `{${head},"data":[${given[at].text}]}`;
    parts.push(given[at].bytes);
    return `{${head},"parameters":{"binary_data_size":${given[at].bytes.length}}}`;
  });
  const text = new TextEncoder().encode(`{"inputs":[${tensors.join(",")}]}`);
  if (!parts.length) return { method: "POST", body: text, headers: { "Content-Type": "application/json" } };
  const blanks = new Uint8Array((8 - (text.length % 8)) % 8).fill(32);
  return {
    method: "POST", body: new Blob([text, blanks, ...parts]),
    headers: { "Content-Type": "application/octet-stream", "Inference-Header-Content-Length": String(text.length + blanks.length) },
  };
}
