// Figures that follow the reader's hand. A still, an svg with data-interactive, makes way for images that were decoded on
// a grid of positions. Between positions the nearest images are blended. Without this script, and in print, the still stays.
"use strict";

function add(parent, tag, properties = {}, attributes = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return parent.appendChild(element);
}

const clamp = (value, limit) => Math.max(-limit, Math.min(limit, value));
const signed = (value, digits) => `${value < 0 ? "\u2212" : value > 0 ? "+" : ""}${Math.abs(value).toFixed(digits)}`;

// The two whole numbers around a position, with their weights.
function neighbors(position, count) {
  const first = Math.max(0, Math.min(Math.floor(position), count - 2));
  return [[first, 1 - (position - first)], [first + 1, position - first]];
}

// Draw the image of a choice at a row and column of a sheet, fractions included, `left` images from the left.
function draw(canvas, sheet, { width, height, rows, positions }, choice, row, column, left = 0) {
  if (!sheet.complete || !sheet.naturalWidth) return;
  const context = canvas.getContext("2d");
  let total = 0;
  for (const [y, weightY] of neighbors(row, rows)) {
    for (const [x, weightX] of neighbors(column, positions)) {
      const weight = weightX * weightY;
      if (weight < 1e-6) continue;
      total += weight;
      context.globalAlpha = weight / total; // over what is drawn, so that the weights add up to 1
      context.drawImage(sheet, x * width, (choice * rows + y) * height, width, height, left * (width + 2), 0, width, height);
    }
  }
}

function addImage(parent, group, label, number = 1) {
  const canvas = add(parent, "canvas", {}, { role: "img", "aria-label": label });
  canvas.width = number * (group.width + 2) - 2;
  canvas.height = group.height;
  canvas.classList.toggle("pixels", group.height < 48);
  return canvas;
}

function addChoice(box, group) {
  const controls = add(box, "div", { className: "controls" });
  const choice = add(add(controls, "label", { textContent: `${group.label} ` }), "select");
  group.choices.forEach((text, value) => add(choice, "option", { textContent: text, value }));
  choice.value = group.chosen || 0;
  return choice;
}

// A card per model, with `number` images next to one another.
function addCards(box, group, number) {
  const cards = add(box, "div", { className: "models" });
  const width = number > 1 ? 5 + 3.5 * number : group.models.length > 4 ? 7.5 : 13;
  cards.style.setProperty("--card", `${width}rem`);
  cards.style.setProperty("--most", number > 1 ? "100%" : "30%"); // of the width of a phone
  for (const model of group.models) {
    model.card = add(cards, "div", { className: "model" });
    add(model.card, "strong", { textContent: model.name }).style.color = `var(--model-${model.color})`;
    model.canvas = addImage(model.card, group, `Images by ${model.name}`, number);
    model.sheet = new Image();
  }
}

// Sheets are decoded when their figure comes near.
function loadSheets(box, sheets, update) {
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    for (const [sheet, src] of sheets) Object.assign(sheet, { onload: update, src });
  }, { rootMargin: "800px" }).observe(box);
}

function addSlider(box, group) {
  const choice = addChoice(box, group), last = group.positions - 1, real = new Image();
  const track = add(choice.closest(".controls"), "div", { className: "track" });
  const first = group.real && addImage(track, group, "First real image");
  const slider = add(track, "input", { type: "range", min: 0, max: last, step: last / 64, value: last / 2 }, { "aria-label": group.label });
  const second = group.real && addImage(track, group, "Second real image");
  const output = add(track, "output");
  addCards(box, group, group.rows);
  for (const model of group.models) model.remark = add(model.card, "small");

  function update() {
    const chosen = Number(choice.value), position = Number(slider.value);
    const value = group.from + (position / last) * (group.to - group.from);
    output.value = (group.from < 0 ? signed(value, 1) : value.toFixed(0)) + group.unit;
    slider.setAttribute("aria-valuetext", `${group.choices[chosen]}, ${output.value}`);
    for (const model of group.models) {
      const place = model.places ? model.places[chosen] : chosen;
      model.canvas.classList.toggle("absent", place === null);
      model.remark.textContent = place === null ? "none found" : (model.remarks || [])[place] || "";
      for (let row = 0; place !== null && row < group.rows; row++) {
        draw(model.canvas, model.sheet, group, place, row, position, row);
      }
    }
    [first, second].forEach((canvas, end) => canvas && draw(canvas, real, { ...group, rows: 1, positions: 2 }, chosen, 0, end));
  }
  slider.oninput = choice.onchange = update;
  update();
  loadSheets(box, [...group.models.map((model) => [model.sheet, model.sprite]), ...(group.real ? [[real, group.real]] : [])], update);
}

function drawDots(canvas, group, model) {
  canvas.width = canvas.height = 320;
  const context = canvas.getContext("2d"), color = getComputedStyle(model.card.firstChild).color;
  context.globalAlpha = 0.6;
  for (const [x, y, label] of model.dots) {
    context.fillStyle = group.classes.length && label >= 0 ? group.colors[label % group.colors.length] : color;
    context.beginPath();
    context.arc((1 + x / group.extent) * 160, (1 - y / group.extent) * 160, 4, 0, 7);
    context.fill();
  }
}

function addPad(group, model, at, moveTo) {
  const range = { "aria-valuemin": -group.extent, "aria-valuemax": group.extent };
  const pad = add(model.card, "div", { className: "pad", tabIndex: 0 }, { role: "slider", "aria-label": `Plane of ${model.name}`, ...range });
  drawDots(add(pad, "canvas", {}, { "aria-hidden": true }), group, model);
  add(pad, "span");
  function follow(event) {
    const { left, top, width, height } = pad.getBoundingClientRect();
    moveTo(((2 * (event.clientX - left)) / width - 1) * group.extent, (1 - (2 * (event.clientY - top)) / height) * group.extent);
  }
  pad.onpointerdown = (event) => { pad.setPointerCapture(event.pointerId); follow(event); };
  pad.onpointermove = (event) => { if (pad.hasPointerCapture(event.pointerId)) follow(event); };
  pad.onkeydown = (event) => {
    const step = group.extent / 16;
    const [x, y] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step], Home: [-at.x, -at.y] }[event.key] || [];
    if (x === undefined) return;
    event.preventDefault();
    moveTo(at.x + x, at.y + y);
  };
  return pad;
}

function addPlane(box, group) {
  const choice = addChoice(box, group), real = new Image();
  const shown = addImage(add(choice.closest(".controls"), "div", { className: "track" }), group, "Real image");
  addCards(box, group, 1);
  const output = add(add(box, "p", { textContent: "Position: " }), "output");
  const at = { x: group.extent / 2, y: group.extent / 4 };

  function moveTo(x, y) {
    Object.assign(at, { x: clamp(x, group.extent), y: clamp(y, group.extent) });
    const [across, down] = [1 + at.x / group.extent, 1 - at.y / group.extent].map((part) => part / 2);
    output.value = `first direction ${signed(at.x, 2)}\u00a0σ, second direction ${signed(at.y, 2)}\u00a0σ`;
    for (const model of group.models) {
      draw(model.canvas, model.sheet, group, Number(choice.value), down * (group.rows - 1), across * (group.positions - 1));
      model.pad.setAttribute("aria-valuenow", at.x.toFixed(2));
      model.pad.setAttribute("aria-valuetext", output.value);
      Object.assign(model.pad.lastChild.style, { left: `${across * 100}%`, top: `${down * 100}%` });
    }
    draw(shown, real, { ...group, rows: 1, positions: 1 }, 0, 0, 0);
    shown.classList.toggle("absent", choice.value !== "0");
  }
  for (const model of group.models) model.pad = addPad(group, model, at, moveTo);
  const key = add(box, "p");
  group.classes.slice(0, group.colors.length).forEach((name, label) => {
    add(key, "span", { className: "dot" }).style.background = group.colors[label];
    key.append(` ${name} `);
  });
  const update = () => moveTo(at.x, at.y);
  choice.onchange = update;
  update();
  loadSheets(box, [...group.models.map((model) => [model.sheet, model.sprite]), [real, group.real]], update);
}

for (const still of document.querySelectorAll("svg[data-interactive]")) {
  const figure = JSON.parse(document.getElementById(`interactive-${still.dataset.interactive}`).textContent);
  (still.closest("figure") || still.parentNode).classList.add(figure.kind ? "moves" : "continues");
  for (const group of figure.groups || []) {
    const box = document.createElement("div");
    box.className = "interactive";
    still.before(box);
    if (group.title) add(box, "p", { className: "dataset", textContent: group.title });
    (figure.kind === "plane" ? addPlane : addSlider)(box, group);
    add(box, "p", { textContent: figure.hint });
  }
}
