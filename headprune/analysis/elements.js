const pick = id => document.getElementById(id);
function make(tag, attributes, parent, text) {
  const item = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const key in attributes) item.setAttribute(key, attributes[key]);
  if (text !== undefined) item.textContent = text;
  parent.append(item);
  return item;
}
function put(tag, parent, text) {
  const item = document.createElement(tag);
  if (text !== undefined) item.textContent = text;
  parent.append(item);
  return item;
}
