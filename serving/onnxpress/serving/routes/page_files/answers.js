/* An answer as a table for each output: labels, values, and a bar for each number. */
import { bar, counted, make, round } from "./elements.js";

const MOST_ROWS = 200;

const figure = (value) => (value === null ? "no number" : Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6))));

/* `labels` are those of the classes, if it has some; the likeliest comes first then. `of` says whose answer it is. */
export function shown(output, labels, of) {
  const rows = output.shape.length ? output.shape[0] : 1;
  const width = rows ? output.data.length / rows : 0;
  const names = labels || [];
  const classes = width > 1 && names.length === width;
  const numeric = output.data.every((one) => typeof one === "number" || one === null);
  const drawn = numeric && width > 1;
  const scale = output.data.reduce((most, one) => Math.max(most, Math.abs(one) || 0), 0);
  const whole = numeric && output.data.every((one) => one === null || (one >= 0 && one <= 1)) ? 1 : scale;
  const table = make("table", {}, make("caption", {}, `${output.name}: ${output.datatype} [${output.shape.join(", ")}]`));
  const many = rows > 1 && width > 1;
  const head = make("tr", {}, ...(many ? [make("th", { scope: "col" }, "row")] : []),
    make("th", { scope: "col" }, classes ? "label" : width > 1 ? "place" : rows > 1 ? "row" : "output"), make("th", { scope: "col", class: numeric ? "number" : "text" }, "value"));
  if (drawn) head.append(make("th", { scope: "col" }, `of ${round(whole)}`));
  table.append(make("thead", {}, head));
  const body = make("tbody");
  for (let row = 0; row < rows && body.childElementCount < MOST_ROWS; row += 1) {
    const columns = Array.from({ length: width }, (_, at) => at);
    const value = (column) => output.data[row * width + column];
    if (classes && numeric) columns.sort((a, b) => (value(b) ?? -Infinity) - (value(a) ?? -Infinity));
    for (const column of columns.slice(0, MOST_ROWS - body.childElementCount)) {
      body.append(line(row, column, value(column)));
    }
  }

  function line(row, column, value) {
    const named = width === 1 && Number.isInteger(value) && names[value] !== undefined;
    const label = classes ? names[column] : width > 1 ? `[${place(column).join(", ")}]` : rows > 1 ? String(row + 1) : output.name;
    const said = named ? `${names[value]} (${value})` : typeof value === "number" || value === null ? figure(value) : String(value);
    const made = make("tr", {}, ...(many ? [make("td", {}, String(row + 1))] : []), make("th", { scope: "row" }, label),
      make("td", { class: numeric && !named ? "number" : "text" }, said));
    if (drawn) made.append(make("td", {}, bar(whole ? Math.abs(value || 0) / whole : 0, value < 0 ? "below" : "")));
    return made;
  }

  function place(column) {
    const found = [];
    for (const size of output.shape.slice(1).reverse()) { found.unshift(column % size); column = Math.floor(column / size); }
    return found;
  }

  table.append(body);
  const box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `answer ${output.name} of ${of}` }, table);
  const rest = output.data.length - body.childElementCount;
  if (rest > 0) box.append(make("p", { class: "soft" }, `and ${counted(rest, "value")} more`));
  return box;
}
