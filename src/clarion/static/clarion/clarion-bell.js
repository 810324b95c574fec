// <clarion-bell>: see docs/howto/bell.md. Each id and class is a ::part() too.
import { createInbox, safeUrl, Timers } from "./clarion.js";

const ICONS = {
  bell: "M6 9.5a6 6 0 0 1 12 0c0 5 2 6.5 2 6.5H4s2-1.5 2-6.5m4 10a2 2 0 0 0 4 0",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 1 0 0-18m0 8v5m0-8h0",
  success: "M12 3a9 9 0 1 0 0 18 9 9 0 1 0 0-18m-4 9 3 3 5-6",
  warning: "M12 4 3 20h18zm0 6v4m0 3h0",
  error: "M8 3h8l5 5v8l-5 5H8l-5-5V8zm1 6 6 6m0-6-6 6",
  critical: "M12 2l10 10-10 10L2 12zm0 6v5m0 3h0",
  read: "M5 12l5 5 9-10",
  unread: "M12 8a4 4 0 1 0 0 8 4 4 0 1 0 0-8",
  archived: "M3 5h18v4H3zm2 4v10h14V9m-9 4h4",
  unarchived: "M12 19V9m-4 4 4-4 4 4M4 5h16",
  pinned: "M8 4h8l-1 6 3 4H6l3-4zm4 10v6",
  more: "M4 12h2m5 0h2m5 0h2M5 11v2m7-2v2m7-2v2",
  close: "M6 6l12 12m0-12L6 18",
};
const STATES = {
  read: "Mark as read",
  unread: "Mark as unread",
  archived: "Archive",
  unarchived: "Move to inbox",
  pinned: "Pin",
  unpinned: "Unpin",
};
const TABS = { all: "All", unread: "Unread", archived: "Archived" };
const EMPTY = { all: "You are all caught up", unread: "Nothing unread", archived: "Nothing archived" };
const LEVELS = { success: "Success", warning: "Warning", error: "Error", critical: "Critical" };
const HELP = {
  "J, K": "Next, previous",
  Enter: "Open",
  E: "Archive",
  "Shift + I": "Mark as read",
  "Shift + U": "Mark as unread",
  Esc: "Close",
};
const NOTES = { offline: "Offline: showing what was saved", stopped: "Disconnected: reload the page" };

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host {
  --bg: var(--clarion-surface, light-dark(#fff, #1d1e23));
  --fg: var(--clarion-text, light-dark(#191a1f, #eeeef2));
  --dim: var(--clarion-muted, light-dark(#5b5f6d, #a6a9b6));
  --line: var(--clarion-line, light-dark(#e6e7ec, #34363e));
  --accent: var(--clarion-accent, light-dark(#3350d6, #9db0ff));
  --on: var(--clarion-on-accent, light-dark(#fff, #12141d));
  --red: light-dark(#c0283a, #ff939a);
  display: inline-block;
  font: 14px/1.45 var(--clarion-font, system-ui, sans-serif);
}
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
a { color: inherit; text-decoration: none; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
svg { display: block; width: 18px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; }
button, input, .action { font: inherit; color: inherit; border: 0; border-radius: 8px; padding: 4px 10px; min-height: 28px; background: none; }
button { cursor: pointer; }
button:hover { background: var(--line); }
.icon, #bell, .avatar { position: relative; display: grid; place-items: center; width: 28px; padding: 0; color: var(--dim); }
#bell, .avatar { width: 36px; height: 36px; border-radius: 50%; color: inherit; }
#bell svg { width: 23px; }
#badge { position: absolute; top: -1px; left: 50%; min-width: 18px; padding: 0 5px; border-radius: 9px; background: var(--clarion-badge, var(--red)); color: var(--on); font-size: 11px; line-height: 18px; font-weight: 600; }
[popover] { inset: auto; border: 0; padding: 0; background: none; color: var(--fg); }
#panel, #menu, .toast { border: 1px solid var(--line); border-radius: var(--clarion-radius, 14px); background: var(--bg); box-shadow: 0 16px 40px -8px #0005; }
#panel { flex-direction: column; width: min(420px, 100vw - 16px); overflow: hidden; outline: 0; }
#panel:popover-open { display: flex; }
#header, #tabs, #footer, #bar, .actions, .meta { display: flex; align-items: center; gap: 6px; }
#header, #footer { padding: 8px 18px; padding-inline-end: 12px; }
#title, #seeAll, #bar span { flex: 1; }
#title { font-size: 17px; }
#markAll, #seeAll, #tabs, #more, #pill { color: var(--accent); font-size: 13px; font-weight: 600; }
#tabs { padding: 0 12px 10px; }
#tabs, .item { border-bottom: 1px solid var(--line); }
#tabs [aria-pressed=false] { color: var(--dim); }
#bell:hover, #tabs [aria-pressed=true], .avatar { background: color-mix(in srgb, currentColor 12%, #0000); }
#note { padding: 8px 18px; background: var(--line); }
#body { flex: 1; min-height: 180px; overflow-y: auto; overscroll-behavior: contain; }
#pill { position: sticky; top: 8px; z-index: 1; display: block; margin: 8px auto -36px; }
#pill, .action:first-child { background: var(--accent); color: var(--on); }
.item, .toast { overflow-wrap: anywhere; position: relative; display: grid; grid-template-columns: 36px 1fr; gap: 12px; padding: 12px 18px; padding-inline-end: 36px; }
.item:is(:hover, :focus-within) { background: color-mix(in srgb, var(--line) 45%, #0000); }
.avatar { color: var(--level); font-weight: 600; font-size: 13px; }
.avatar span + svg { position: absolute; right: -4px; bottom: -4px; border-radius: 50%; background: var(--bg); }
[data-level] { --level: var(--accent); }
[data-level=success] { --level: light-dark(#0f7548, #62d69e); }
[data-level=warning] { --level: light-dark(#8a5600, #f2ba55); }
[data-level=error], [data-level=critical] { --level: var(--red); }
a.title::after { content: ""; position: absolute; inset: 0; }
.unread .title { font-weight: 600; }
.text, .meta { color: var(--dim); font-size: 13px; }
.text { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
.meta svg { width: 14px; }
.dot { position: absolute; top: 18px; inset-inline-end: 16px; border: 5px solid var(--accent); border-radius: 50%; }
.tools { position: absolute; bottom: 8px; inset-inline-end: 8px; display: flex; opacity: 0; border-radius: 8px; background: var(--bg); }
.item:is(:hover, :focus-within) .tools { opacity: 1; }
.actions { position: relative; width: fit-content; flex-wrap: wrap; padding-top: 8px; }
.action { background: var(--line); font-size: 13px; }
#more { display: block; margin: 8px auto; }
#empty { padding: 56px 24px; color: var(--dim); text-align: center; }
#empty svg { width: 40px; margin: 0 auto 12px; }
#bones { height: 148px; margin: 16px; border-radius: 8px; background: var(--line); animation: 1s infinite alternate rise; }
#bar { margin: 8px; padding: 6px 14px; border-radius: 8px; background: var(--fg); color: var(--bg); }
#bar button { background: none; text-decoration: underline; }
#footer, #help { border-top: 1px solid var(--line); }
#help { padding: 14px 18px; }
dt { float: inline-start; width: 90px; color: var(--dim); }
#menu { padding: 6px; }
#menu * { display: block; width: 100%; text-align: start; }
#menu p { padding: 6px 10px; color: var(--dim); }
#toasts { bottom: 8px; inset-inline-end: 8px; width: min(380px, 100vw - 16px); overflow: visible; }
.toast { margin-top: 10px; border-inline-start: 4px solid var(--level); animation: .25s rise; }
.toast .icon { position: absolute; top: 8px; inset-inline-end: 8px; }
@keyframes rise { from { opacity: .3; translate: 0 4px; } }
.sr { position: fixed; clip-path: inset(50%); }
@media (max-width: 480px) { #panel { inset: auto 0 0 !important; width: auto; max-height: 88dvh !important; } }
@media (hover: none) { .tools { opacity: 1; } .quick { display: none; } }
@media (prefers-reduced-motion) { * { animation: none !important; } }
@media (forced-colors: active) { #badge, #bar, [aria-pressed=true] { border: 1px solid Highlight; } }
`);

class ClarionBell extends HTMLElement {
  inbox;
  #strings = {};
  #$; // elements by id
  #filter = "all";
  #articles = new Map();
  #held = new Set(); // not shown yet, to somebody who is reading
  #arrivals = 0;
  #tellSeen = false;
  #failed = false;
  #timers = new Timers();
  #connected;

  connectedCallback() {
    if (!this.#$) this.#build();
    this.inbox ??= this.#connect();
    this.inbox.start();
    const { signal } = (this.#connected = new AbortController());
    for (const name of ["pointerdown", "resize", "scroll"]) addEventListener(name, this, { signal });
    this.#tick();
    this.#draw();
  }

  disconnectedCallback() {
    this.inbox.stop();
    this.#connected.abort();
    this.#timers.clear();
  }

  handleEvent(event) {
    if (!this.isOpen) return;
    if (event.type !== "pointerdown") place(this.#$.panel, this.#$.bell);
    else if (!event.composedPath().includes(this)) this.close();
  }

  #connect() {
    const given = {};
    for (const { name, value } of this.attributes) given[name] = value;
    const cookie = RegExp(`(?:^|; )${given["csrf-cookie"] ?? "csrftoken"}=([^;]+)`);
    const inbox = createInbox({
      ...given,
      transports: given.transports?.split(" "),
      csrf: () => cookie.exec(document.cookie)?.[1] ?? given["csrf-token"] ?? "",
      csrfHeader: given["csrf-header"],
    });
    for (const name of ["change", "status"]) inbox.addEventListener(name, () => this.#soon());
    inbox.addEventListener("arrived", ({ detail }) => this.#arrived(detail.items));
    inbox.addEventListener("toast", ({ detail }) => this.#toast(detail));
    return inbox;
  }

  #build() {
    const page = this.getAttribute("page");
    const strings = document.getElementById(this.getAttribute("strings"));
    if (strings) this.#strings = JSON.parse(strings.textContent);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    const t = (text) => this.#t(text);
    const labelled = { "aria-labelledby": "title" };
    const floating = { popover: "manual" };
    const tab = ([id, text]) => el(`button#${id}`, { onclick: () => this.show(id) }, t(text));
    root.append(
      el("button#bell", { "aria-haspopup": "dialog", "aria-expanded": false, onclick: () => this.toggle() },
        icon("bell"), el("span#badge", { "aria-hidden": true })),
      el("div#panel", { ...floating, ...labelled, role: "dialog", tabindex: -1, onkeydown: (event) => this.#key(event) },
        el("div#header", {}, el("h2#title", {}, t("Notifications")),
          el("button#markAll", { onclick: () => this.#markAll() }, t("Mark all as read")),
          this.#button("close", t("Close"), () => this.close())),
        el("div#tabs", { ...labelled, role: "group" }, ...Object.entries(TABS).map(tab)),
        el("p#note"),
        el("div#body", { onscroll: () => this.#soon() },
          el("button#pill", { onclick: () => (this.show(this.#filter), this.#$.list.firstChild.focus()) }),
          el("div#list", { ...labelled, role: "feed" }),
          el("div#empty", {}, icon("bell"), el("p")),
          el("div#bones"),
          el("button#more", { onclick: () => this.#load() })),
        el("dl#help", { hidden: "" }, ...Object.entries(HELP).flatMap(([key, text]) => [el("dt", {}, key), el("dd", {}, t(text))])),
        el("div#bar", { hidden: "" }),
        el("div#footer", {}, page && el("a#seeAll", { href: safeUrl(page) }, t("See all notifications")),
          el("button.icon quick", { "aria-label": t("Keyboard shortcuts"), onclick: () => this.#$.help.toggleAttribute("hidden") }, "?"))),
      el("div#menu", { ...floating, role: "dialog", "aria-label": t("More actions"), onkeydown: ({ key }) => key === "Escape" && this.#leaveMenu() }),
      el("div#toasts", { ...floating, role: "region", "aria-label": t("Notifications") }),
      el("div#status", { class: "sr", role: "status" }),
      el("div#alert", { class: "sr", role: "alert" }),
    );
    this.#$ = {};
    for (const node of root.querySelectorAll("[id]")) this.#$[node.id] = node;
    const reached = ([{ isIntersecting }]) => isIntersecting && !this.#failed && this.#load();
    new IntersectionObserver(reached, { root: this.#$.body }).observe(this.#$.more);
  }

  #button(name, label, onclick, kind = "icon") {
    return el("button." + kind, { "data-key": name, "aria-label": label, title: label, onclick }, icon(name));
  }

  /** Plural forms come as {sample number: text}. */
  #t(text, n) {
    let found = this.#strings[text] ?? text;
    if (found instanceof Object) {
      const rules = new Intl.PluralRules(this.#lang);
      found = found[Object.keys(found).find((sample) => rules.select(sample) === rules.select(n)) ?? 2];
    }
    return found.replace("{n}", n?.toLocaleString(this.#lang));
  }

  get #lang() {
    return this.closest("[lang]")?.lang || navigator.language;
  }

  get #focused() {
    return this.shadowRoot.activeElement;
  }

  get isOpen() {
    return this.#$.panel.matches(":popover-open");
  }

  toggle() {
    this.isOpen ? this.close() : this.open();
  }

  open() {
    this.#raise("panel", true);
    this.#tellSeen = true;
    this.#$.toasts.replaceChildren();
    this.#raise("toasts", false);
    this.show(this.#filter);
    place(this.#$.panel, this.#$.bell);
    this.#$.panel.focus();
  }

  close() {
    if (this.#focused) this.#$.bell.focus();
    this.#raise("menu", false);
    this.#raise("panel", false);
  }

  show(filter) {
    this.#filter = filter;
    this.#held.clear();
    this.#$.body.scrollTop = 0;
    this.#load();
  }

  #load() {
    if (!this.isOpen) return;
    this.#failed = false;
    this.inbox.load(this.#filter).catch(() => (this.#failed = true));
    this.#draw();
  }

  #raise(name, shown) {
    this.#$[name].togglePopover(shown);
    this.#$.bell.ariaExpanded = this.isOpen;
  }

  #soon() {
    this.#timers.once("draw", 0, () => this.#draw());
  }

  #draw() {
    this.#drawBell();
    if (this.isOpen) this.#drawPanel();
  }

  #drawBell() {
    const { bell, badge } = this.#$;
    const { unread, unseen } = this.inbox.counts;
    const count = this.getAttribute("badge") === "unread" ? unread : unseen;
    badge.hidden = !count;
    badge.textContent = count > 99 ? "99+" : count;
    bell.title = this.#t("Notifications") + (unread ? ", " + this.#t("{n} unread", unread) : "");
    bell.ariaLabel = bell.title;
    navigator.setAppBadge?.(unread).catch(() => {});
  }

  #drawPanel() {
    const { tabs, markAll, note, pill, empty, bones, more } = this.#$;
    const { unread, unseen } = this.inbox.counts;
    const { state } = this.inbox.status;
    const view = this.inbox.list(this.#filter);
    for (const tab of tabs.children) tab.ariaPressed = tab.id === this.#filter;
    tabs.children[1].textContent = `${this.#t("Unread")} ${unread || ""}`;
    markAll.hidden = !unread || this.#filter === "archived";
    note.hidden = !NOTES[state];
    note.textContent = this.#t(NOTES[state] ?? "");
    this.#drawList(view);
    pill.hidden = !this.#held.size;
    pill.textContent = this.#t("{n} new", this.#held.size);
    empty.hidden = view.more || view.items.length;
    empty.lastChild.textContent = this.#t(EMPTY[this.#filter]);
    bones.hidden = view.loaded || this.#failed;
    more.hidden = !this.#failed && (!view.loaded || !view.more);
    more.textContent = this.#t(this.#failed ? "Could not be loaded. Try again" : "Load more");
    if (!view.loaded && !view.loading && !this.#failed) this.#load(); // after a reset
    if (unseen && this.#tellSeen && view.loaded && !this.#held.size && !document.hidden) {
      this.#tellSeen = false;
      this.inbox.markAll("seen").catch(() => {});
    }
  }

  #drawList({ items, more, loading }) {
    const { list, body, panel } = this.#$;
    const focused = this.#focused;
    const current = focused?.closest(".item");
    const index = [...list.children].indexOf(current);
    if (!current && body.scrollTop < 8) this.#held.clear();
    const articles = items.filter(({ id }) => !this.#held.has(id)).map((item) => this.#article(item));
    for (const [id, article] of this.#articles) {
      if (articles.includes(article)) continue;
      article.remove();
      this.#articles.delete(id);
    }
    articles.forEach((article, at) => {
      article.ariaPosInSet = at + 1;
      article.ariaSetSize = more ? -1 : articles.length;
      if (list.children[at] !== article) list.insertBefore(article, list.children[at]);
    });
    list.hidden = !articles.length;
    list.ariaBusy = loading;
    if (!current || this.#focused === focused) return;
    const next = current.isConnected ? current : (articles[index] ?? articles.at(-1) ?? panel);
    (next.querySelector(`[data-key=${focused.dataset.key}]`) ?? next).focus();
  }

  #article(item) {
    const article = this.#articles.get(item.id) ?? el("article", { tabindex: 0 });
    this.#articles.set(item.id, article);
    const state = JSON.stringify(item);
    if (article.state !== state) this.#fill(article, item);
    return Object.assign(article, { item, state });
  }

  #fill(article, item) {
    const id = `n${item.id}`;
    const tool = (name, text, act, kind) => this.#button(name, `${this.#t(text)}: ${item.title || item.message}`, act, kind);
    const toggle = (state) => tool(state, STATES[state], () => this.#mark(state, item), "icon quick");
    const time = el("time", { datetime: item.arrived_at, title: new Date(item.arrived_at).toLocaleString(this.#lang) }, this.#ago(item.arrived_at));
    article.className = article.part = item.read ? "item" : "item unread";
    article.dataset.level = item.level;
    article.setAttribute("aria-labelledby", id);
    article.onclick = ({ target }) => target.closest("a, button") || this.#read(item);
    article.replaceChildren(
      this.#avatar(item),
      el("div", {},
        this.#title(item, id),
        item.body && el("p.text", {}, el("bdi", {}, item.body)),
        el("p.meta", {}, item.pinned && icon("pinned", this.#t("Pinned")), item.actor && el("bdi", {}, item.actor.name), item.actor && "·", time,
          item.count > 1 && `· ×${item.count}`),
        item.actions.length && el("div.actions", {}, ...item.actions.map((action, at) => this.#action(item, action, at)))),
      item.read ? "" : el("span.dot", { role: "img", "aria-label": this.#t("Unread") }),
      el("div.tools", {}, ...this.#toggles(item).slice(0, 2).map(toggle),
        tool("more", "More actions", ({ currentTarget }) => this.#menu(item, currentTarget))),
    );
  }

  #toggles(item) {
    return ["read", "archived", "pinned"].map((state) => (item[state] ? `un${state}` : state));
  }

  #avatar({ actor, level }) {
    const initials = actor?.name.split(/\s+/).map(([letter]) => letter).join("").slice(0, 2);
    const sign = LEVELS[level] ? icon(level, this.#t(LEVELS[level])) : !initials && icon("info");
    return el("div.avatar", {}, initials && el("span", { "aria-hidden": true }, initials), sign);
  }

  #title(item, id) {
    const href = safeUrl(item.url);
    const link = { href, "data-key": "title", onclick: (event) => this.#open(item, event), onauxclick: () => this.#read(item) };
    return el(href ? "a.title" : "span.title", { id, dir: "auto", ...(href && link) }, item.title || item.message);
  }

  #tick() {
    for (const time of this.#$.list.getElementsByTagName("time")) time.textContent = this.#ago(time.dateTime);
    this.#timers.start("tick", 60_000, () => this.#tick());
  }

  #action(item, { label, url, method }, at) {
    const href = safeUrl(url);
    const post = () => this.#try(this.inbox.act(item, href).then(() => this.#tell("Done")));
    const look = method === "POST" ? { onclick: post } : { href, onclick: () => this.#read(item) };
    return href && el(look.href ? "a.action" : "button.action", { ...look, "data-key": `action${at}` }, label);
  }

  #ago(iso) {
    const format = new Intl.RelativeTimeFormat(this.#lang, { numeric: "auto", style: "short" });
    let span = (Date.parse(iso) - Date.now()) / 60_000;
    if (span > -1) return format.format(0, "second");
    for (const [unit, size] of Object.entries({ minute: 60, hour: 24, day: 7, week: 4.35, month: 12, year: 1e9 })) {
      if (span > -size) return format.format(Math.ceil(span), unit);
      span /= size;
    }
  }

  #open(item, event) {
    this.#read(item);
    const detail = { item };
    if (!this.dispatchEvent(new CustomEvent("clarion-open", { detail, bubbles: true, cancelable: true }))) event.preventDefault();
  }

  #read(item) {
    if (item.id && !item.read) this.#mark("read", item);
  }

  #mark(as, item, until) {
    const said = { archived: "Archived", snoozed: "Snoozed" }[as];
    this.#try(this.inbox.mark(as, [item.id], until));
    if (said) this.#tell(said, () => this.inbox.undo(as, [item.id]));
  }

  /** Undo needs to know them all. */
  async #markAll() {
    const { unread } = this.inbox.counts;
    const known = () => this.inbox.list("unread").items.map(({ id }) => id);
    if (known().length < unread) await this.inbox.load("unread").catch(() => {});
    const ids = known();
    this.#try(this.inbox.markAll());
    this.#tell("Marked as read", ids.length === unread && (() => this.inbox.undo("read", ids)));
    this.#$.panel.focus();
  }

  #try(change) {
    change.catch(() => this.#tell("Could not be saved, so it was undone"));
  }

  #tell(text, undo) {
    const { bar, status, panel } = this.#$;
    const hide = () => (bar.hidden = true);
    const back = () => {
      hide();
      this.#try(undo());
      panel.focus();
    };
    status.textContent = this.#t(text);
    bar.replaceChildren(el("span", {}, this.#t(text)), undo ? el("button", { onclick: back }, this.#t("Undo")) : "");
    bar.hidden = false;
    this.#linger("bar", bar, hide);
  }

  /** Away in 8 s, but not from under a pointer or the focus. */
  #linger(name, element, away) {
    this.#timers.start(name, 8000, () => {
      if (element.matches(":hover, :focus-within")) this.#linger(name, element, away);
      else away();
    });
  }

  #menu(item, anchor) {
    const { menu } = this.#$;
    const choice = (text, act) => el("button", { onclick: () => (this.#leaveMenu(), act()) }, this.#t(text));
    const snooze = (text, time) => choice(text, () => this.#mark("snoozed", item, new Date(time() || Date.now()).toISOString()));
    const until = el("input", { type: "datetime-local", "aria-label": this.#t("Snooze until") });
    menu.anchor = anchor;
    menu.replaceChildren(
      ...this.#toggles(item).map((state) => choice(STATES[state], () => this.#mark(state, item))),
      ...(item.archived ? [] : [
        el("p", {}, this.#t("Snooze")),
        snooze("For 1 hour", () => Date.now() + 3600_000),
        snooze("For 4 hours", () => Date.now() + 4 * 3600_000),
        snooze("Until tomorrow, 8:00", () => new Date().setHours(32, 0, 0, 0)),
        until,
        snooze("Snooze until", () => until.value),
      ]),
    );
    this.#raise("menu", true);
    place(menu, anchor);
    menu.firstChild.focus();
  }

  #leaveMenu() {
    this.#raise("menu", false);
    this.#$.menu.anchor.focus();
  }

  #key(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const article = target.closest(".item");
    const item = article?.item;
    const next = { PageDown: "next", j: "next", PageUp: "previous", k: "previous" }[key];
    const state = item && { e: this.#toggles(item)[1], I: "read", U: "unread" }[key];
    if (key === "Escape") this.close();
    else if (next) (article ? article[next + "ElementSibling"] : this.#$.list.firstChild)?.focus();
    else if (key === "?") this.#$.help.toggleAttribute("hidden");
    else if (state) this.#mark(state, item);
    else if (key === "Enter" && target === article) (article.querySelector("a.title") ?? article).click();
    else return;
    event.preventDefault();
  }

  #arrived(items) {
    const reading = this.isOpen && (this.#$.body.scrollTop >= 8 || this.#focused?.closest(".item"));
    this.#tellSeen = true;
    for (const { item, previous } of items) {
      if (reading && !previous) this.#held.add(item.id);
      if (!this.isOpen) this.#toast(item);
    }
    const critical = items.find(({ item }) => item.level === "critical");
    if (critical) this.#$.alert.textContent = critical.item.message;
    this.#arrivals += items.length;
    this.#timers.once("announce", 5000, () => {
      this.#$.status.textContent = this.#t("{n} new notifications", this.#arrivals);
      this.#arrivals = 0;
    });
  }

  #toast(item) {
    if (document.hidden || this.getAttribute("toasts") === "off") return;
    const { toasts } = this.#$;
    const gone = () => {
      toast.remove();
      this.#raise("toasts", toasts.childElementCount > 0);
    };
    const toast = el("div.toast", { "data-level": item.level },
      this.#avatar(item),
      el("div", {}, this.#title(item), item.body && el("p.text", {}, el("bdi", {}, item.body))),
      this.#button("close", this.#t("Close"), gone));
    toasts.append(toast);
    if (toasts.childElementCount > 3) toasts.firstChild.remove();
    this.#raise("toasts", true);
    this.#linger(Symbol(), toast, gone);
  }
}

/** From "tag.class" or "tag#id"; falsy children are left out. */
function el(kind, attributes = {}, ...children) {
  const [tag, name] = kind.split(/[.#]/);
  const node = document.createElement(tag);
  const given = { [kind.includes("#") ? "id" : "class"]: name, part: name, ...attributes };
  for (const [key, value] of Object.entries(given)) {
    if (value instanceof Function) node[key] = value;
    else if (value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter(Boolean));
  return node;
}

function icon(name, label) {
  const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  path.setAttribute("d", ICONS[name]);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.append(path);
  return Object.assign(svg, { role: "img", ariaLabel: label, ariaHidden: !label });
}

/** Below its anchor, or above where there is more room. */
function place({ style, offsetWidth, offsetHeight }, anchor) {
  const at = anchor.getBoundingClientRect();
  const [above, below] = [at.top - 14, innerHeight - at.bottom - 14];
  const under = below >= Math.min(offsetHeight, above);
  const left = anchor.matches(":dir(rtl)") ? at.left : at.right - offsetWidth;
  style.left = `${Math.max(8, Math.min(left, innerWidth - offsetWidth - 8))}px`;
  style.top = under ? `${at.bottom + 6}px` : "";
  style.bottom = under ? "" : `${innerHeight - at.top + 6}px`;
  style.maxHeight = `${Math.min(640, under ? below : above)}px`;
}

customElements.define("clarion-bell", ClarionBell);
