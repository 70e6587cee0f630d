// One head's attention weights, and thumbnails of all heads of its type, layer 1 lowest.
function showMaps({maps, gates, titles, labels}) {
  const heads = type => gates[type].flatMap((row, n) => row.map((gate, h) => [n, h, gate]));
  const isOpen = ([, , gate]) => gate > 0;
  const first = type => heads(type).find(isOpen) ?? heads(type)[0] ?? [-1, -1];
  let type = Object.keys(gates).find(type => heads(type).some(isOpen)) ?? "enc_self";
  let [layer, head] = first(type), view = "matrix";

  function choose(...chosen) {
    [type, layer, head] = chosen;
    thumbs();
  }
  function thumbs() {
    const box = pick("thumbs"), sentence = maps[pick("sentence").value];
    pick("type").value = type;
    pick("source").textContent = sentence.text[0];
    pick("target").textContent = sentence.text[1];
    box.replaceChildren();
    sentence.weights[type].forEach((row, n) => {
      const line = document.createElement("div");
      line.className = "layer";
      line.style.gridTemplateColumns = "2.8rem repeat(" + row.length + ", minmax(32px, 64px))";
      put("span", line, "layer " + (n + 1));
      row.forEach((weights, h) => thumb(line, weights, n, h));
      box.prepend(line);
    });
    draw();
  }
  function thumb(line, weights, n, h) {
    const button = put("button", line), open = gates[type][n][h] > 0;
    const canvas = put("canvas", button), ink = canvas.getContext("2d");
    [canvas.height, canvas.width] = [weights.length, weights[0].length];
    const heat = getComputedStyle(document.documentElement).getPropertyValue("--heat");
    weights.forEach((row, q) => row.forEach((weight, m) => {
      ink.fillStyle = "rgba(" + heat + "," + weight / 255 + ")";
      ink.fillRect(m, q, 1, 1);
    }));
    button.append((n + 1) + "." + (h + 1));
    button.className = open ? "" : "shut";
    button.ariaLabel = "layer " + (n + 1) + ", head " + (h + 1) + (open ? "" : ", closed");
    button.addEventListener("click", () => { [layer, head] = [n, h]; draw(); });
    button.dataset.head = n + " " + h;
  }
  function draw() {
    for (const button of document.querySelectorAll(".layer button"))
      button.ariaPressed = button.dataset.head === layer + " " + head;
    for (const button of pick("view").children) button.ariaPressed = button.value === view;
    const sentence = maps[pick("sentence").value];
    const weights = sentence.weights[type][layer]?.[head];
    const doing = labels[type + " " + layer + " " + head]?.join(", ");
    const state = !weights ? "no head" : gates[type][layer][head] > 0 ? doing : "closed";
    pick("head").textContent = titles[type] + (weights ? " " + (layer + 1) + "." + (head + 1) : "")
      + (state ? ": " + state : "");
    pick("map").replaceChildren();
    pick("pointed").textContent = "";
    pick("map").parentElement.hidden = !weights;  // there would be nothing to save
    if (!weights) return;
    const rows = type === "enc_self" ? sentence.source : sentence.target;
    const columns = type === "dec_self" ? ["start", ...sentence.target.slice(0, -1)]
      : sentence.source;
    (view === "lines" ? drawLines : drawMatrix)(rows, columns, weights);
  }
  for (const name of ["sentence", "type"]) pick(name).addEventListener("change", () => {
    if (name === "sentence") thumbs(); else choose(pick("type").value, ...first(pick("type").value));
  });
  pick("view").addEventListener("click", event => { view = event.target.value ?? view; draw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", thumbs);
  for (const cell of document.querySelectorAll("[data-at]")) {
    const [name, n, h] = cell.dataset.at.split(" ");
    cell.classList.add("go");
    cell.addEventListener("click", () => {
      choose(name, Number(n), Number(h));
      pick("head").scrollIntoView({block: "center"});
    });
  }
  thumbs();
  let width = pick("map").clientWidth;
  new ResizeObserver(() => {
    if (pick("map").clientWidth === width) return;
    width = pick("map").clientWidth;
    draw();
  }).observe(pick("map"));
}

function frame(width, height, label) {
  return make("svg", {width, height, viewBox: "0 0 " + width + " " + height, role: "img",
    "aria-label": label}, pick("map"));
}
// In px, as bold as names are while one points at them: letters of other scripts are wider.
const pen = document.createElement("canvas").getContext("2d");
pen.font = "bold 12px system-ui, sans-serif";
const longest = names => Math.max(...names.map(name => pen.measureText(name).width)) + 12;

function drawMatrix(rows, columns, weights) {
  pick("pointed").textContent = "Each row is a token that looks, each column one that is looked at.";
  const room = pick("map").clientWidth, left = longest(rows), height = 24;
  const width = Math.min(120, Math.max(17, (room - left - 8) / columns.length));
  const flat = width > longest(columns) - 6, top = flat ? 24 : longest(columns);
  const svg = frame(left + width * columns.length + 6, top + height * rows.length + 6, "attention map");
  const names = rows.map((name, q) => make("text", {x: left - 8, y: top + height * q + 16,
    "text-anchor": "end"}, svg, name));
  const above = columns.map((name, m) => {
    const x = left + width * (m + .5);
    return make("text", flat ? {x, y: 16, "text-anchor": "middle"}
      : {transform: "translate(" + (x + 4) + "," + (top - 6) + ") rotate(-90)"}, svg, name);
  });
  make("rect", {class: "frame", x: left, y: top, width: width * columns.length,
    height: height * rows.length}, svg);
  weights.forEach((row, q) => row.forEach((weight, m) => {
    const [x, y] = [left + width * m, top + height * q];
    const cell = make("rect", {class: "cell", x, y, width: width - 1, height: height - 1,
      "fill-opacity": .62 * weight / 255}, svg);  // as in grids, numbers stay readable
    if (width > 30 && weight > 25)
      make("text", {class: "number", x: x + width / 2, y: y + 16}, svg, share(weight));
    cell.addEventListener("pointerenter", () => {
      names.forEach((name, i) => name.classList.toggle("on", i === q));
      above.forEach((name, i) => name.classList.toggle("on", i === m));
      pick("pointed").textContent = apart(rows[q]) + " → " + apart(columns[m]) + ": " + share(weight);
    });
  }));
}
// Letters that run from right to left would turn what stands between them around.
const apart = text => "\u2068" + text + "\u2069";
const share = weight => (weight / 255).toFixed(2);
