/* What every part of the page uses: elements, questions to this server, figures as text. */

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/* A whole number that JavaScript would round stays the text that it came as. */
const exact = (_, value, context) => (typeof value === "number" && !Number.isSafeInteger(value) && context && /^-?\d+$/.test(context.source) ? context.source : value);

/* The JSON of an answer; throws what the server says is wrong. */
export async function ask(path, options) {
  const reply = await fetch(path, options);
  const text = await reply.text();
  let found;
  try { found = JSON.parse(text, exact); } catch { found = { error: text.slice(0, 300) }; }
  if (!reply.ok) throw new Error(found.error || `the server answered ${reply.status}`);
  return found;
}

export const round = (value) => (typeof value === "number" ? Number(value.toPrecision(3)).toString() : "unknown");
export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
export const product = (sizes) => sizes.reduce((a, b) => a * b, 1);
export const versionPath = (name, version) => `${encodeURIComponent(name)}/${encodeURIComponent(version)}`;

/* A bar whose length is a share of its track; the figure beside it says the same. */
export function bar(share, kind = "") {
  const drawn = make("div", { class: `bar ${kind}`.trim() });
  drawn.style.width = `${100 * Math.min(1, Math.max(0, share || 0))}%`;
  return make("div", { class: "track" }, drawn);
}
