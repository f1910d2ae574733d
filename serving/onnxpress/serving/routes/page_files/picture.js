/* A picture as the array that a model takes: drawn to its size, in its order of axes and in its scale of values. */
import { make, product } from "./elements.js";

const LEAST = 8, MOST = 1024;
const MEAN = [0.485, 0.456, 0.406], DEVIATION = [0.229, 0.224, 0.225];
const ARRAYS = { UINT8: Uint8Array, FP32: Float32Array, FP64: Float64Array };
const PICTURES = ["UINT8", "FP16", "BF16", "FP32", "FP64"];
/* name → [what a person reads, a byte's value for the model, and back]; `at` is the channel */
const SCALES = {
  byte: ["0 to 255", (byte) => byte, (value) => value],
  unit: ["0 to 1", (byte) => byte / 255, (value) => value * 255],
  signed: ["-1 to 1", (byte) => byte / 127.5 - 1, (value) => (value + 1) * 127.5],
  imagenet: ["ImageNet's mean and deviation", (byte, at) => (byte / 255 - MEAN[at % 3]) / DEVIATION[at % 3],
    (value, at) => (value * DEVIATION[at % 3] + MEAN[at % 3]) * 255],
};

/* Where height, width and channels are in a row of these sizes, if it may be a picture; sizes that vary are texts. */
export function layout(datatype, row) {
  if (!PICTURES.includes(datatype)) return null;
  const side = (size) => typeof size !== "number" || size >= LEAST;
  const channels = (size) => [1, 3, 4].includes(size);
  if (row.length === 3 && channels(row[0]) && side(row[1]) && side(row[2])) return { channels: row[0], first: true, height: row[1], width: row[2], axes: 3 };
  if (row.length === 3 && channels(row[2]) && side(row[0]) && side(row[1])) return { channels: row[2], first: false, height: row[0], width: row[1], axes: 3 };
  if (row.length === 2 && row[0] === row[1] && typeof row[0] === "number" && row[0] >= LEAST) return { channels: 1, first: true, height: row[0], width: row[1], axes: 2 };
  return null;
}

function guess(input) {
  if (input.datatype === "UINT8") return "byte";
  let { low, high } = input;
  if ((low ?? null) === null || (high ?? null) === null) {
    const data = input.sample ? input.sample.data.filter((value) => value !== null) : [];
    low = data.reduce((a, b) => Math.min(a, b), 0);
    high = data.reduce((a, b) => Math.max(a, b), 0);
  }
  if (high > 8) return "byte";
  if (low >= 0) return "unit";
  return low >= -1 && high <= 1 ? "signed" : "imagenet";
}

/* Place of a pixel's channel among the values. */
const place = (found, height, width, y, x, at) =>
  (found.first ? (at * height + y) * width + x : (y * width + x) * found.channels + at);

/* [elements, read]: a file that is chosen, else the sample. */
export function picture(input, id, found, batched) {
  const { sample } = input;
  const chooser = make("input", { id, type: "file", accept: "image/*", "aria-describedby": `${id}-hint` });
  const scale = make("select", { id: `${id}-scale` }, ...Object.entries(SCALES)
    .filter(([name]) => name === "byte" || input.datatype !== "UINT8")
    .map(([name, [said]]) => make("option", { value: name }, said)));
  scale.value = guess(input);
  const canvas = make("canvas", { role: "img", class: "picture" });
  const told = make("p", { class: "soft" });
  const offset = batched ? 1 : 0;
  const [sampleHeight, sampleWidth] = sample ? (found.axes === 3 && found.first ? sample.shape.slice(offset + 1) : sample.shape.slice(offset)) : [0, 0];
  const start = (size, of) => (typeof size === "number" ? size : of || 224);
  let height = start(found.height, sampleHeight), width = start(found.width, sampleWidth);
  let bitmap = null;
  const sizes = [];
  const size = (name, key, get, set) => {
    if (typeof found[key] === "number") return;
    const control = make("input", { id: `${id}-${key}`, type: "number", min: "1", max: String(MOST), step: "1" });
    control.value = get();
    control.addEventListener("change", () => { set(Math.min(MOST, Math.max(1, Math.round(Number(control.value)) || 1))); draw(); });
    sizes.push([control, get, make("div", {}, make("label", { for: control.id }, `${name} of ${input.name}`), control)]);
  };
  size("Width", "width", () => width, (value) => { width = value; });
  size("Height", "height", () => height, (value) => { height = value; });

  function draw() {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    if (bitmap) {
      if (found.channels !== 4) { context.fillStyle = "#fff"; context.fillRect(0, 0, width, height); }
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, 0, 0, width, height);
      if (found.channels === 1) grey(context);
    } else if (sample) drawSample(context);
    for (const [control, get] of sizes) control.value = get();
    const what = bitmap ? "the chosen picture" : sample ? "the golden sample" : "no picture yet";
    canvas.setAttribute("aria-label", `${input.name} as it is sent: ${what}, ${width} by ${height}`);
    told.textContent = `${what}, ${width} × ${height}${bitmap && (bitmap.width !== width || bitmap.height !== height) ? `, drawn from ${bitmap.width} × ${bitmap.height}` : ""}`;
  }

  function grey(context) {
    const image = context.getImageData(0, 0, width, height), { data } = image;
    for (let at = 0; at < data.length; at += 4) {
      data[at] = data[at + 1] = data[at + 2] = Math.round(0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2]);
    }
    context.putImageData(image, 0, 0);
  }

  function drawSample(context) {
    if (sampleHeight !== height || sampleWidth !== width) return;
    const back = SCALES[scale.value][2], image = context.createImageData(width, height);
    for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) {
      const to = 4 * (y * width + x);
      for (let at = 0; at < 4; at += 1) {
        const from = found.channels === 1 ? 0 : at;
        image.data[to + at] = at === 3 && found.channels !== 4 ? 255 : back(sample.data[place(found, height, width, y, x, from)], from);
      }
    }
    context.putImageData(image, 0, 0);
  }

  chooser.addEventListener("change", async () => {
    chooser.removeAttribute("aria-invalid");
    bitmap = null;
    if (chooser.files.length) {
      try {
        bitmap = await createImageBitmap(chooser.files[0]);
        const shrink = Math.min(1, MOST / Math.max(bitmap.width, bitmap.height));
        if (typeof found.width !== "number") width = Math.max(1, Math.round(bitmap.width * shrink));
        if (typeof found.height !== "number") height = Math.max(1, Math.round(bitmap.height * shrink));
      } catch {
        draw();
        chooser.setAttribute("aria-invalid", "true");
        told.textContent = "This file is no picture that the browser can read.";
        return;
      }
    }
    draw();
  });
  scale.addEventListener("change", draw);
  draw();

  function values() {
    const pixels = canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height).data;
    const made = new (ARRAYS[input.datatype] || Float64Array)(height * width * found.channels);
    const to = SCALES[scale.value][1];
    for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) for (let at = 0; at < found.channels; at += 1) {
      made[place(found, height, width, y, x, at)] = to(pixels[4 * (y * width + x) + at], at);
    }
    return made;
  }

  const parts = [make("label", { for: id }, `${input.name}: a picture`), chooser];
  if (input.datatype !== "UINT8") parts.push(make("label", { for: scale.id }, `Values of ${input.name}`), scale);
  parts.push(...sizes.map(([, , box]) => box), canvas, told);
  return [parts, () => {
    if (chooser.getAttribute("aria-invalid") || (!bitmap && !sample)) {
      chooser.setAttribute("aria-invalid", "true");
      chooser.focus();
      throw new Error(`${input.name}: choose a picture`);
    }
    const row = found.axes === 2 ? [height, width] : found.first ? [found.channels, height, width] : [height, width, found.channels];
    const shape = [...(batched ? [1] : []), ...row];
    if (!bitmap && sample && product(sample.shape) === product(shape)) return { shape: sample.shape, text: sample.data.map((one) => (one === null ? "null" : one)).join(",") };
    const made = bitmap ? values() : null;
    if (!made) throw new Error(`${input.name}: the golden sample has another size; choose a picture`);
    return ARRAYS[input.datatype] ? { shape, bytes: new Uint8Array(made.buffer) } : { shape, text: Array.from(made).join(",") };
  }];
}
