// Figures that follow the reader's hand. A still, an svg with data-interactive, makes way for images that were decoded on
// a grid of positions. Between positions the nearest images are blended. Without this script, and in print, the still stays.
"use strict";

function add(parent, tag, properties = {}, attributes = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return parent.appendChild(element);
}

const signed = (value, digits) => `${value < 0 ? "\u2212" : value > 0 ? "+" : ""}${Math.abs(value).toFixed(digits)}`;

// The two whole numbers around a position, with their weights.
function neighbors(position, count) {
  const first = Math.max(0, Math.min(Math.floor(position), count - 2));
  return [[first, 1 - (position - first)], [first + 1, position - first]];
}

// Draw the image at a row and column of a sheet, fractions included, `left` images from the left.
function draw(canvas, group, sheet, row, column, left = 0) {
  const { width, height } = group, context = canvas.getContext("2d");
  let total = 0;
  for (const [y, weightY] of neighbors(row, group.rows)) {
    for (const [x, weightX] of neighbors(column, group.positions)) {
      if (weightX * weightY < 1e-6) continue;
      total += weightX * weightY;
      context.globalAlpha = (weightX * weightY) / total; // over what is drawn, so that weights add up to 1
      context.drawImage(sheet, x * width, y * height, width, height, left * (width + 2), 0, width, height);
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

function addCards(box, group) {
  const cards = add(box, "div", { className: "models" });
  const width = group.images > 1 ? 5 + 3.5 * group.images : group.models.length > 4 ? 7.5 : 13;
  cards.style.setProperty("--card", `${width}rem`);
  cards.style.setProperty("--most", group.images > 1 ? "100%" : "30%"); // of the width of a phone
  return cards;
}

function addCard(cards, group, model) {
  const card = add(cards, "div", { className: "model" });
  add(card, "strong", { textContent: model.name }).style.color = `var(--model-${model.color})`;
  model.canvas = addImage(card, group, `Images by ${model.name}`, group.images);
  model.sheet = new Image();
  return card;
}

// Sheets are decoded when their figure comes near.
function loadSheets(box, group, update) {
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    for (const model of group.models) {
      model.sheet.onload = update;
      model.sheet.src = model.sprite;
    }
  }, { rootMargin: "800px" }).observe(box);
}

const isLoaded = (model) => model.sheet.complete && model.sheet.naturalWidth > 0;

function addSlider(box, group) {
  const controls = add(box, "div", { className: "controls" });
  const choice = add(add(controls, "label", { textContent: group.label + " " }), "select");
  group.choices.forEach((text, value) => add(choice, "option", { textContent: text, value }));
  choice.value = group.chosen || 0;
  const track = add(controls, "div", { className: "track" });
  const first = group.ends && addImage(track, { ...group, images: 1 }, "First real image");
  const last = group.positions - 1;
  const slider = add(track, "input", { type: "range", min: 0, max: last, step: last / 64, value: last / 2 });
  slider.setAttribute("aria-label", group.label);
  const second = group.ends && addImage(track, { ...group, images: 1 }, "Second real image");
  const output = add(track, "output");
  const cards = addCards(box, group);
  for (const model of group.models) model.remark = add(addCard(cards, group, model), "small");
  const ends = new Image();

  function update() {
    const chosen = Number(choice.value), position = Number(slider.value), share = position / last;
    const value = group.from + share * (group.to - group.from);
    output.value = (group.from < 0 ? signed(value, 1) : value.toFixed(0)) + group.unit;
    slider.setAttribute("aria-valuetext", `${group.choices[chosen]}, ${output.value}`);
    for (const model of group.models) {
      const row = model.places ? model.places[chosen] : chosen;
      model.canvas.classList.toggle("absent", row === null);
      model.remark.textContent = row === null ? "none found" : (model.remarks || [])[row] || "";
      if (row === null || !isLoaded(model)) continue;
      for (let image = 0; image < group.images; image++) {
        draw(model.canvas, group, model.sheet, row * group.images + image, position, image);
      }
    }
    if (!ends.naturalWidth) return;
    draw(first, { ...group, positions: 2 }, ends, chosen, 0);
    draw(second, { ...group, positions: 2 }, ends, chosen, 1);
  }
  if (group.ends) Object.assign(ends, { onload: update, src: group.ends });
  slider.oninput = choice.onchange = update;
  update();
  loadSheets(box, group, update);
}

function drawDots(canvas, group, model, color) {
  canvas.width = canvas.height = 320;
  const context = canvas.getContext("2d");
  const place = (position) => (position / group.extent + 1) * 160;
  context.globalAlpha = 0.6;
  for (const [x, y, label] of model.dots) {
    context.fillStyle = group.classes.length && label >= 0 ? group.colors[label % group.colors.length] : color;
    context.beginPath();
    context.arc(place(x), 320 - place(y), 4, 0, 7);
    context.fill();
  }
}

function addPlane(box, group) {
  const cards = addCards(box, group);
  const output = add(add(box, "p", { className: "hint", textContent: "Position: " }), "output");
  const at = { x: group.extent / 2, y: group.extent / 4 }, pads = []; // the mean is often no image

  function update() {
    const column = (at.x / group.extent + 1) * (group.positions - 1) / 2;
    const row = (1 - at.y / group.extent) * (group.rows - 1) / 2;
    const text = `first direction ${signed(at.x, 2)}\u00a0σ, second direction ${signed(at.y, 2)}\u00a0σ`;
    output.value = text;
    for (const [index, model] of group.models.entries()) {
      if (isLoaded(model)) draw(model.canvas, group, model.sheet, row, column);
      const pad = pads[index], mark = pad.lastChild;
      pad.setAttribute("aria-valuenow", at.x.toFixed(2));
      pad.setAttribute("aria-valuetext", text);
      mark.style.left = `${(at.x / group.extent + 1) * 50}%`;
      mark.style.top = `${(1 - at.y / group.extent) * 50}%`;
    }
  }
  function moveTo(x, y) {
    at.x = Math.max(-group.extent, Math.min(group.extent, x));
    at.y = Math.max(-group.extent, Math.min(group.extent, y));
    update();
  }
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  for (const model of group.models) {
    const card = addCard(cards, group, model);
    const range = { "aria-valuemin": -group.extent, "aria-valuemax": group.extent };
    const pad = add(card, "div", { className: "pad", tabIndex: 0 }, { role: "slider", "aria-label": `Plane of ${model.name}`, ...range });
    pads.push(pad);
    const dots = add(pad, "canvas", {}, { "aria-hidden": true });
    drawDots(dots, group, model, getComputedStyle(card.firstChild).color);
    add(pad, "span");
    function follow(event) {
      const { left, top, width, height } = pad.getBoundingClientRect();
      moveTo((2 * (event.clientX - left) / width - 1) * group.extent, (1 - 2 * (event.clientY - top) / height) * group.extent);
    }
    pad.onpointerdown = (event) => { pad.setPointerCapture(event.pointerId); follow(event); };
    pad.onpointermove = (event) => { if (pad.hasPointerCapture(event.pointerId)) follow(event); };
    pad.onkeydown = (event) => {
      const [x, y] = steps[event.key] || [0, 0];
      if (event.key === "Home") moveTo(0, 0);
      else if (x || y) moveTo(at.x + x * group.extent / 16, at.y + y * group.extent / 16);
      else return;
      event.preventDefault();
    };
  }
  const key = add(box, "p", { className: "hint" });
  group.classes.slice(0, group.colors.length).forEach((name, label) => {
    add(key, "span", { className: "dot" }).style.background = group.colors[label];
    key.append(` ${name} `);
  });
  update();
  loadSheets(box, group, update);
}

for (const still of document.querySelectorAll("svg[data-interactive]")) {
  const figure = JSON.parse(document.getElementById(`interactive-${still.dataset.interactive}`).textContent);
  const holder = still.closest("figure") || still.parentNode;
  holder.classList.add(figure.kind ? "moves" : "continues");
  for (const group of figure.groups || []) {
    const box = document.createElement("div");
    box.className = "interactive";
    still.before(box);
    if (group.title) add(box, "p", { className: "dataset", textContent: group.title });
    (figure.kind === "plane" ? addPlane : addSlider)(box, { images: 1, ...group });
    add(box, "p", { className: "hint", textContent: figure.hint });
  }
}
