// What one sees as files: a table as CSV, a figure as SVG with the colours that it has now.
const KEPT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "font-family",
  "font-size", "font-weight", "text-anchor", "display", "opacity"];

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
function tableText(table) {
  const quoted = cell => '"' + cell.textContent.replaceAll('"', '""') + '"';
  return [...table.rows].map(row => [...row.cells].map(quoted).join(",") + "\n").join("");
}
function figureText(figure) {
  const pictures = [...figure.querySelectorAll("svg")];
  const boxes = pictures.map(picture => picture.getBoundingClientRect());
  const left = Math.min(...boxes.map(box => box.left)), top = Math.min(...boxes.map(box => box.top));
  const width = Math.max(...boxes.map(box => box.right)) - left;
  const height = Math.max(...boxes.map(box => box.bottom)) - top;
  const whole = make("svg", {width, height, viewBox: "0 0 " + width + " " + height},
    document.createDocumentFragment());
  make("rect", {width, height, fill: getComputedStyle(document.body).backgroundColor}, whole);
  pictures.forEach((picture, i) => {
    const copy = picture.cloneNode(true), box = boxes[i];
    const copies = copy.querySelectorAll("*");
    picture.querySelectorAll("*").forEach((item, k) => {
      const style = getComputedStyle(item);
      const rules = KEPT.map(name => name + ":" + style.getPropertyValue(name));
      copies[k].setAttribute("style", rules.join(";"));
    });
    const place = {x: box.left - left, y: box.top - top, width: box.width, height: box.height};
    for (const key in place) copy.setAttribute(key, place[key]);
    whole.append(copy);
  });
  return new XMLSerializer().serializeToString(whole);
}
function addFiles() {
  const add = (box, kind, type, text) => {
    const name = box.dataset[kind] + "." + kind, button = put("button", box, kind.toUpperCase());
    button.className = "file";
    button.title = "Save " + name;
    button.addEventListener("click", () => save(name, type, text()));
  };
  for (const box of document.querySelectorAll("[data-csv]"))
    add(box, "csv", "text/csv", () => tableText(box.querySelector("table")));
  for (const box of document.querySelectorAll("[data-svg]"))
    add(box, "svg", "image/svg+xml", () => figureText(box));
}
