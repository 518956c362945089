
"use strict";
const $ = id => document.getElementById(id);
const narrow = matchMedia("(max-width: 700px)");
let turn = 0, last = null, seen = null;

// ------------------------------------------------------------------ requests

async function ask(path, options = {}) {
  const headers = $("token").value ? {authorization: "Bearer " + $("token").value} : {};
  const answer = await fetch(path, {...options, headers}).catch(() => {
    throw new Error("the server does not respond");
  });
  if (answer.status === 401) $("asks").hidden = false;
  if (!answer.ok) throw new Error(await reason(answer));
  return answer.headers.get("content-type").startsWith("application/json") ? answer.json() : answer.text();
}

async function reason(answer) {
  const data = await answer.json().catch(() => ({}));
  return data.error || `the server responded with status ${answer.status}`;
}

function say(text, wrong = false) {
  $("says").textContent = text;
  $("says").className = wrong ? "error" : "";
}

const path = () => "v2/models/" + $("model").value.split(":").map(encodeURIComponent).join("/versions/");

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// ------------------------------------------------------------------ the network

async function showNetwork() {
  const wanted = $("model").value;
  clearNetwork();
  try {
    const table = await ask(path() + "/table");
    if (wanted !== $("model").value) return;
    showTable(table);
    await showDiagram();
  } catch (error) { if (wanted === $("model").value) $("summary").textContent = error.message; }
}

function clearNetwork() {
  $("summary").textContent = "";
  $("totals").hidden = $("layers").hidden = true;
  $("diagram").replaceChildren();
}

function showTable(table) {
  $("summary").textContent = table.name;
  const totals = {input: table.input.join("×"), parameters: table.totals.parameters.toLocaleString(),
    "MACs per image": table.totals.macs.toLocaleString()};
  $("totals").replaceChildren(...Object.entries(totals).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
  $("layers").tBodies[0].replaceChildren(...table.layers.map(layer => {
    const row = element("tr", {}, element("td", {}, layer.name), element("td", {}, layer.op),
      element("td", {}, layer.output_shape.join("×")));
    for (const [name, count] of [["parameters", layer.parameters], ["MACs", layer.macs]]) {
      const cell = element("td", {className: "number"}, count ? count.toLocaleString() : "");
      cell.dataset.label = name;
      row.append(cell);
    }
    return row;
  }));
  $("totals").hidden = $("layers").hidden = false;
}

async function showDiagram() {  // its style is adopted, as the page's policy lets no element bring one
  const wanted = $("model").value;
  const text = await ask(path() + "/diagram?width=" + (narrow.matches ? 358 : 1080));
  if (wanted !== $("model").value) return;
  const [before, style, after] = text.split(/<\/?style>/), sheet = new CSSStyleSheet();
  sheet.replaceSync(style);
  document.adoptedStyleSheets = [sheet];
  const drawn = new DOMParser().parseFromString(before + after, "image/svg+xml").documentElement;
  $("diagram").replaceChildren(document.importNode(drawn, true));
}

// ------------------------------------------------------------------ a picture and its classes

async function classify(file) {
  const mine = ++turn;
  last = file;
  forget();
  say("classifying…");
  const shown = showPicture(file, mine);
  try {
    const data = await ask(path() + "/classify?top=5", {method: "POST", body: file});
    if (mine !== turn) return;
    showClasses(data.predictions);
    say(`${data.model_name}, version ${data.model_version}`);
    await explain(file, mine, data.predictions);
  } catch (error) {
    const known = await shown;
    if (mine === turn) say(refused(file, error, known), true);
  }
}

function refused(file, error, known) {  // without the words for those who write requests
  const name = file.name || "the file";
  if (!file.size) return `${name} is empty: choose a PNG or JPEG file`;
  if (!error.message.startsWith("the body is not a picture")) return `${name}: ${error.message}`;
  return known ? `the server can't decode ${name}: choose a PNG or JPEG file` : `${name} is not a picture: choose a PNG or JPEG file`;
}

function forget() {
  seen = null;
  $("answer").hidden = $("maps").hidden = $("shown").hidden = true;
  $("try").className = "";
}

async function showPicture(file, mine) {  // true once it is shown, false for what the browser can't decode
  const image = $("shown");
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(file);
  try { await image.decode(); } catch { return false; }
  if (mine !== turn) return true;
  image.className = Math.max(image.naturalWidth, image.naturalHeight) < 128 ? "small" : "";
  image.hidden = false;
  return true;
}

function showClasses(predictions) {
  $("answer").replaceChildren(...predictions.map(found => {
    const sure = found.probability;
    const fill = element("i"), track = element("span", {className: "track"}, fill);
    fill.style.width = `${100 * sure}%`;
    const texts = [element("span", {className: "label"}, found.label), element("span", {className: "number"},
      sure === null ? String(found.score) : (100 * sure).toFixed(1) + " %")];
    return element("li", {}, element("div", {}, ...texts, ...(sure === null ? [] : [track])));
  }));
  $("answer").hidden = false;
  $("try").className = "answered";
}

// ------------------------------------------------------------------ class maps: whose mean is the score

async function explain(file, mine, predictions) {
  const model = await ask(path());
  if (mine !== turn || !model.outputs.some(o => o.name === "maps")) return;
  const classes = predictions.map(p => "class=" + encodeURIComponent(p.label)).join("&");
  const data = await ask(path() + "/explain?picture=true&" + classes, {method: "POST", body: file});
  const picture = new Image();
  picture.src = data.picture;
  await picture.decode();
  if (mine !== turn) return;
  const largest = Math.max(...data.classes.map(c => Math.max(...c.map.flat().map(Math.abs)))) || 1;
  seen = {...data, picture, largest, times: Math.max(1, Math.round(384 / Math.max(...data.size))), cell: null};
  [...$("answer").children].forEach((item, k) => {
    const button = element("button", {type: "button"}, ...item.firstChild.childNodes);
    for (const kind of ["mouseenter", "focus", "click"]) button.addEventListener(kind, () => { if (seen) draw(k); });
    item.replaceChildren(button);
  });
  $("maps").hidden = false;
  $("try").classList.add("mapped");
  draw(0);
}

function area() {  // where the cells stand on the canvas: each around the middle of its field, as large as the jump
  const {place, times, classes: [{map}]} = seen, cells = [map.length, map[0].length];
  const start = [0, 1].map(k => (place.offset[k] + place.field[k] / 2 - place.jump[k] / 2) * times);
  return {cells, start, step: place.jump.map(jump => jump * times)};
}

function draw(index, cell = null) {
  const {picture, size: [height, width], times} = seen, found = seen.classes[index];
  const canvas = $("map"), pen = canvas.getContext("2d");
  [canvas.width, canvas.height] = [width * times, height * times];
  pen.imageSmoothingEnabled = false;
  pen.filter = "grayscale(1)";
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  pen.filter = "none";
  pen.imageSmoothingEnabled = true;
  drawMap(pen, found.map);
  if (cell) drawCell(pen, cell);
  const {cells: [rows, columns]} = area(), value = cell && found.map[cell[0]][cell[1]];
  const mean = `score ${found.score.toPrecision(4)}: ${seen.identity.split(" (")[0]}, of ${rows}×${columns} cells`;
  const here = cell ? `row ${cell[0]}, column ${cell[1]}: ${value.toPrecision(4)}; ` : "";
  $("whose").textContent = found.label;
  $("cell").textContent = here + mean;
  canvas.setAttribute("aria-label", `Class map of ${found.label}, ${mean}`);
  Object.assign(seen, {index, cell});
  [...$("answer").children].forEach((item, k) => item.firstChild.setAttribute("aria-pressed", k === index));
}

function drawMap(pen, map) {
  const {cells: [rows, columns], start: [top, left], step: [down, across]} = area();
  const small = element("canvas", {width: columns, height: rows}), image = new ImageData(columns, rows);
  map.flat().forEach((value, k) =>
    image.data.set([...(value >= 0 ? [196, 30, 40] : [30, 80, 190]), 191 * Math.abs(value) / seen.largest], 4 * k));
  small.getContext("2d").putImageData(image, 0, 0);
  pen.drawImage(small, left, top, columns * across, rows * down);
}

function drawCell(pen, [row, column]) {  // its field, and itself
  const {place, times} = seen, {start: [top, left], step: [down, across]} = area();
  const [y, x] = [row, column].map((k, axis) => (place.offset[axis] + k * place.jump[axis]) * times);
  pen.lineWidth = 2;
  pen.strokeStyle = "#facc15";
  pen.strokeRect(x, y, place.field[1] * times, place.field[0] * times);
  pen.strokeRect(left + column * across, top + row * down, across, down);
}

function point(event) {
  if (!seen) return;
  const box = $("map").getBoundingClientRect(), {cells, start, step} = area();
  const at = [(event.clientY - box.top) * $("map").height / box.height,
    (event.clientX - box.left) * $("map").width / box.width];
  const cell = at.map((pixel, k) => Math.floor((pixel - start[k]) / step[k]));
  draw(seen.index, cell.every((k, axis) => k >= 0 && k < cells[axis]) ? cell : null);
}

const ARROWS = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};

function step(event) {
  const by = ARROWS[event.key];
  if (!seen || !by) return;
  event.preventDefault();
  const {cells} = area();
  draw(seen.index, seen.cell ? seen.cell.map((k, axis) => Math.min(Math.max(k + by[axis], 0), cells[axis] - 1)) : [0, 0]);
}

for (const kind of ["pointermove", "pointerdown"]) $("map").addEventListener(kind, point);
$("map").addEventListener("keydown", step);
for (const kind of ["pointerleave", "blur"]) $("map").addEventListener(kind, () => { if (seen) draw(seen.index); });

// ------------------------------------------------------------------ the page

async function start() {
  try {
    const {models} = await ask("v2/models");
    $("model").replaceChildren(...models.map(m => new Option(`${m.name}:${m.version}`)));
    say("");
    await showNetwork();
  } catch (error) { say(error.message, true); }
}

$("model").addEventListener("change", () => { showNetwork(); if (last) classify(last); });
narrow.addEventListener("change", () => {
  if ($("diagram").firstChild) showDiagram().catch(error => say(error.message, true));
});
$("token").addEventListener("change", start);
$("file").addEventListener("change", () => { if ($("file").files.length) classify($("file").files[0]); });
for (const kind of ["dragenter", "dragover"]) addEventListener(kind, event => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", event => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (event.dataTransfer.files.length) classify(event.dataTransfer.files[0]);
});
addEventListener("paste", event => { if (event.clipboardData.files.length) classify(event.clipboardData.files[0]); });
start();
