// Figures as SVG files, with the colours that they have now.
const KEPT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "font-family",
  "font-size", "font-weight", "text-anchor", "display", "opacity"];

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
  for (const box of document.querySelectorAll("[data-svg]")) {
    const name = box.dataset.svg + ".svg", button = put("button", box, "SVG");
    button.className = "file";
    button.title = "Save " + name;
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([figureText(box)], {type: "image/svg+xml"}));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
  }
}
