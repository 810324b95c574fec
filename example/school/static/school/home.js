/** The list on the home page follows the bell: what arrives, is read or taken back changes here too. */
const list = document.querySelector(".latest");
const empty = document.querySelector(".latest + .empty");
const blank = document.getElementById("item").content.firstElementChild;
const STEPS = [["minute", 60], ["hour", 24], ["day", 7], ["week", Infinity]];
const words = new Intl.RelativeTimeFormat("en");
let drawn = "";

await customElements.whenDefined("clarion-bell");
const { inbox } = document.querySelector("clarion-bell");
inbox.addEventListener("change", follow);
inbox.load("all").catch(() => {}); // not reached: the list stays as the server made it

function follow() {
  const { items, loaded } = inbox.list("all");
  const shown = items.slice(0, Number(list.dataset.most));
  const wanted = JSON.stringify(shown);
  if (!loaded || wanted === drawn) return;
  drawn = wanted;
  list.replaceChildren(...shown.map(draw));
  empty.hidden = shown.length > 0;
}

function draw(item) {
  const row = blank.cloneNode(true);
  const part = (name) => row.querySelector(name);
  row.dataset.level = item.level;
  row.className = item.read ? "" : "unread";
  const icon = part("use");
  icon.setAttribute("href", icon.getAttribute("href").replace(/#.*/, `#${item.level}`));
  part(".title").replaceChildren(titled(item));
  part(".text").textContent = item.body;
  part(".text").hidden = !item.body;
  part(".actor").textContent = item.actor?.name ?? "";
  part("time").dateTime = item.arrived_at;
  part("time").textContent = ago((Date.now() - Date.parse(item.arrived_at)) / 60_000);
  return row;
}

function titled({ title, url }) {
  if (!url) return document.createTextNode(title);
  return Object.assign(document.createElement("a"), { href: url, textContent: title });
}

function ago(minutes) {
  if (minutes < 1) return "just now";
  let span = minutes;
  for (const [unit, size] of STEPS) {
    if (span < size) return words.format(-Math.floor(span), unit);
    span /= size;
  }
}
