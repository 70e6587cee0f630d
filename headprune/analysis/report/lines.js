// One head's attention as lines from the tokens that look, on the left, to those looked at.
function drawLines(rows, columns, weights) {
  pick("pointed").textContent = "The tokens on the left look at those on the right; point at one.";
  const height = 22, left = longest(rows), middle = Math.max(90, Math.min(640,
    pick("map").clientWidth - left - longest(columns)));
  const svg = frame(left + middle + longest(columns), 16 + height * Math.max(rows.length,
    columns.length), "attention as lines");
  const y = i => 8 + height * (i + .5);
  const lines = weights.map((row, q) => row.map((weight, m) => make("path", {class: "line",
    d: "M" + left + " " + y(q) + "L" + (left + middle) + " " + y(m),
    "stroke-opacity": weight / 255}, svg)));
  const show = keep => {
    lines.forEach((row, q) => row.forEach((line, m) => line.classList.toggle("off", !keep(q, m))));
  };
  const name = (text, i, x, anchor, keep, told) => {
    const item = make("text", {x, y: y(i) + 4, "text-anchor": anchor}, svg, text);
    const hit = make("rect", {class: "hit", x: anchor === "end" ? 0 : left + middle,
      y: y(i) - height / 2, width: anchor === "end" ? left : longest(columns), height}, svg);
    hit.addEventListener("pointerenter", () => {
      svg.querySelector(".on")?.classList.remove("on");
      item.classList.add("on");
      show(keep);
      pick("pointed").textContent = told();
    });
  };
  const most = pairs => pairs.filter(([, weight]) => weight > 2)
    .sort((a, b) => b[1] - a[1]).slice(0, 3)
    .map(([text, weight]) => apart(text) + " " + share(weight)).join(", ");
  rows.forEach((text, q) => name(text, q, left - 8, "end", i => i === q,
    () => apart(text) + " looks at " + most(columns.map((column, m) => [column, weights[q][m]]))));
  columns.forEach((text, m) => name(text, m, left + middle + 8, "start", (q, i) => i === m,
    () => apart(text) + " is looked at by " + most(rows.map((row, q) => [row, weights[q][m]]))));
  svg.addEventListener("pointerleave", event => {
    if (event.pointerType !== "mouse") return;
    svg.querySelector(".on")?.classList.remove("on");
    show(() => true);
  });
}
