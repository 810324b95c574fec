/** The list on the home page follows the bell: what arrives is put on top, what is read turns quiet. */
const list = document.querySelector(".latest");
const blank = document.getElementById("item").content.firstElementChild;
const bell = document.querySelector("clarion-bell");
const MOST = Number(list.dataset.most);

await customElements.whenDefined("clarion-bell");
bell.inbox.addEventListener("arrived", ({ detail }) => detail.items.toReversed().forEach(({ item }) => show(item)));

function show(item) {
  list.querySelector(`[data-id="${CSS.escape(item.id)}"]`)?.remove();
  list.prepend(draw(item));
  while (list.children.length > MOST) list.lastElementChild.remove();
  document.querySelector(".empty").hidden = true;
}

function draw(item) {
  const row = blank.cloneNode(true);
  const part = (name) => row.querySelector(name);
  row.dataset.id = item.id;
  row.dataset.level = item.level;
  row.className = item.read ? "" : "unread";
  const icon = part("use");
  icon.setAttribute("href", icon.getAttribute("href").replace(/#.*/, `#${item.level}`));
  part(".title").replaceChildren(titled(item));
  part(".text").textContent = item.body;
  part(".text").hidden = !item.body;
  part(".actor").textContent = item.actor?.name ?? "";
  part("time").dateTime = item.arrived_at;
  return row;
}

function titled({ title, url }) {
  if (!url) return document.createTextNode(title);
  return Object.assign(document.createElement("a"), { href: url, textContent: title });
}
