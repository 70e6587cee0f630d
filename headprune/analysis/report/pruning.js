// How open heads are at the step of the slider, which plays by itself when asked to.
function showPruning({steps, gates, kind}) {
  const slider = pick("step"), play = pick("play");
  const panels = [...document.querySelectorAll("#pruning .panel")].map((panel, i) => ({
    rows: Object.values(gates)[i].map(layers => layers.flat()),
    cells: panel.querySelectorAll(".grid rect"),
    cursor: panel.querySelector(".cursor"),
    points: panel.querySelector("polyline")?.points ?? [],
  }));
  function show() {
    const t = Number(slider.value);
    let open = 0, total = 0;
    for (const {rows, cells, cursor, points} of panels) {
      rows[t].forEach((p, i) => cells[i].setAttribute("fill-opacity", p / 255));
      if (points.length)
        cursor.setAttribute("transform", "translate(" + (points[t].x - points[steps.length - 1].x) + ")");
      open += rows[t].reduce((a, b) => a + b, 0) / 255;
      total += rows[t].length;
    }
    const topk = kind === "topk";
    pick("reached").textContent = "step " + steps[t] + ": " + open.toFixed(topk ? 0 : 1) + " of "
      + total + " heads open" + (topk ? "" : " on average");
  }
  let timer = null;
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "Play"; };
  play.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) slider.value = 0;
    play.textContent = "Pause";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (slider.value === slider.max) stop();
    }, Math.max(60, Math.min(250, 6000 / steps.length)));
  });
  slider.addEventListener("input", () => { stop(); show(); });
  show();
}
