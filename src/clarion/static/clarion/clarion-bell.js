/**
 * <clarion-bell>: the bell, its panel and its toasts, on top of clarion.js. docs/howto/bell.md
 *
 * Works under a nonce CSP with Trusted Types: texts are set as text, never as HTML, and the styles
 * are a constructed style sheet. Every id and class in the shadow tree is a ::part() as well.
 */
import { createInbox, safeUrl } from "./clarion.js";

const TEXT = {
  title: "Notifications",
  count: "{n} unread",
  pill: "{n} new",
  news: { 1: "{n} new notification", 2: "{n} new notifications" },
  all: "All",
  unread: "Unread",
  archived: "Archived",
  markAll: "Mark all as read",
  toRead: "Mark as read",
  toUnread: "Mark as unread",
  toArchived: "Archive",
  toUnarchived: "Move to inbox",
  toPinned: "Pin",
  toUnpinned: "Unpin",
  pinned: "Pinned",
  more: "More actions",
  snooze: "Snooze",
  hour: "For 1 hour",
  hours: "For 4 hours",
  tomorrow: "Until tomorrow, 8:00",
  until: "Until",
  loadMore: "Load more",
  close: "Close",
  undo: "Undo",
  seeAll: "See all notifications",
  help: "Keyboard shortcuts",
  next: "Next, previous",
  open: "Open",
  noneAll: "You are all caught up",
  noneUnread: "Nothing unread",
  noneArchived: "Nothing archived",
  offline: "Offline: showing what was saved",
  stopped: "Signed out: reload the page to go on",
  limit: "Too many open connections: reload the page to go on",
  failed: "Could not be saved, so it was undone",
  unreachable: "The server was not reached, so it was undone",
  notLoaded: "Could not be loaded. Try again",
  didRead: "Marked as read",
  didArchived: "Archived",
  didSnoozed: "Snoozed",
  done: "Done",
  info: "Information",
  success: "Success",
  warning: "Warning",
  error: "Error",
  critical: "Critical",
};
const RING = "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18";
const ICON = {
  bell: "M6 9.5a6 6 0 0 1 12 0c0 5 2 6.5 2 6.5H4s2-1.5 2-6.5M10 19.5a2.1 2.1 0 0 0 4 0",
  info: RING + "M12 11.5V16M12 8h.01",
  success: RING + "M8 12.3l2.7 2.7L16 9.4",
  warning: "M12 4 2.8 20h18.4zM12 10v4.5M12 17.2h.01",
  error: "M8.3 3h7.4L21 8.3v7.4L15.7 21H8.3L3 15.7V8.3zM9.3 9.3l5.4 5.4M14.7 9.3l-5.4 5.4",
  critical: "M12 2l10 10-10 10L2 12zM12 7.5v5.5M12 16.3h.01",
  toRead: "M5 12.5l4.5 4.5L19 7",
  toUnread: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8",
  toArchived: "M3.5 5h17v4h-17zM5.5 9v10h13V9M10 13h4",
  toUnarchived: "M3.5 13h5l1.5 3h4l1.5-3h5M5.5 6h13l2 7v6h-17v-6z",
  more: "M5 12h.01M12 12h.01M19 12h.01",
  pinned: "M8.5 4h7l-1 6.5 3 3.5h-11l3-3.5zM12 14v6",
  help: "M8.5 8.5a3.5 3.5 0 1 1 5 3.2c-1 .5-1.5 1.200-1.500 2.300M12 18h.01",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
};
const HOUR = 3600_000;
const KEYS = { "j k": "next", Enter: "open", e: "toArchived", I: "toRead", U: "toUnread", Esc: "close" };

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host {
  --bg: var(--clarion-surface, light-dark(#fff, #1d1e23));
  --fg: var(--clarion-text, light-dark(#191a1f, #eeeef2));
  --dim: var(--clarion-muted, light-dark(#5b5f6d, #a6a9b6));
  --line: var(--clarion-line, light-dark(#e7e8ed, #33353d));
  --tint: var(--clarion-hover, light-dark(#f4f5f9, #282a31));
  --accent: var(--clarion-accent, light-dark(#3350d6, #9db0ff));
  --on: var(--clarion-on-accent, light-dark(#fff, #12141d));
  --badge: var(--clarion-badge, light-dark(#d3233b, #ff8b98));
  --round: var(--clarion-radius, 14px);
  --lift: 0 0 0 1px var(--line), 0 16px 40px -8px #0004;
  --font: var(--clarion-font, system-ui, sans-serif);
  display: inline-block; font: 14px/1.45 var(--font);
}
*, ::before { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
svg { display: block; width: 18px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
button, input { font: inherit; color: inherit; }
button { border: 0; background: none; border-radius: 8px; padding: 4px 10px; min-height: 28px; cursor: pointer; }
button:hover { background: var(--tint); }
.icon { display: grid; place-items: center; width: 28px; padding: 0; color: var(--dim); }
.icon:hover { color: var(--fg); background: var(--line); }
#bell { position: relative; display: grid; place-items: center; width: 40px; height: 40px; padding: 0; border-radius: 50%; }
#bell:hover { background: color-mix(in srgb, currentColor 10%, transparent); }
#bell svg { width: 23px; }
#badge { position: absolute; inset: 1px auto auto 52%; min-width: 18px; padding: 0 5px; border-radius: 9px; background: var(--badge); color: var(--on); font: 600 11px/18px var(--font); }
[popover] { position: fixed; inset: auto; z-index: 99999; border: 0; padding: 0; background: var(--bg); color: var(--fg); text-align: start; border-radius: var(--round); box-shadow: var(--lift); }
#panel { display: flex; flex-direction: column; width: min(420px, 100vw - 16px); overflow: hidden; outline: 0; }
#header, #footer { display: flex; align-items: center; gap: 4px; padding-block: 12px 4px; padding-inline: 18px 12px; }
#title { font-size: 17px; font-weight: 650; margin-inline-end: auto; }
.link { color: var(--accent); font-weight: 550; font-size: 13px; text-decoration: none; }
#tabs { display: flex; gap: 4px; padding: 4px 12px 10px; border-bottom: 1px solid var(--line); }
#tabs button { padding-inline: 12px; border-radius: 99px; color: var(--dim); font-weight: 550; font-size: 13px; }
#tabs [aria-selected=true] { background: color-mix(in srgb, var(--accent) 12%, transparent); color: var(--accent); }
#note { padding: 8px 18px; font-size: 13px; background: var(--tint); color: var(--dim); }
#body { flex: 1; min-height: 180px; overflow-y: auto; overscroll-behavior: contain; }
#pill { position: sticky; inset-block-start: 8px; z-index: 2; display: block; margin: 8px auto -36px; border-radius: 99px; background: var(--accent); color: var(--on); font-weight: 600; font-size: 13px; }
.item, .toast { position: relative; display: grid; grid-template-columns: 36px 1fr; gap: 0 12px; padding-block: 12px; padding-inline: 18px 34px; border-bottom: 1px solid var(--line); }
.item:hover, .item:focus-within { background: var(--tint); }
.item:focus-visible { outline-offset: -3px; }
.avatar { position: relative; display: grid; place-items: center; width: 36px; height: 36px; border-radius: 50%; background: color-mix(in srgb, var(--level) 13%, var(--bg)); color: var(--level); font-weight: 600; font-size: 13px; }
.avatar span + svg { position: absolute; inset: auto -3px -3px auto; padding: 1px; border-radius: 50%; background: var(--bg); }
[data-level] { --level: var(--accent); }
[data-level=success] { --level: light-dark(#0f7548, #62d69e); }
[data-level=warning] { --level: light-dark(#8a5600, #f2ba55); }
[data-level=error], [data-level=critical] { --level: light-dark(#bf2934, #ff939a); }
.title { color: inherit; text-decoration: none; overflow-wrap: anywhere; }
a.title::after { content: ""; position: absolute; inset: 0; }
.unread .title { font-weight: 620; }
.text { color: var(--dim); font-size: 13px; overflow-wrap: anywhere; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
.meta { display: flex; align-items: center; gap: 6px; color: var(--dim); font-size: 12px; padding-block-start: 2px; }
.meta svg { width: 13px; }
.count { padding: 0 6px; border-radius: 99px; background: var(--line); color: var(--fg); font-weight: 600; }
.dot { position: absolute; inset-block-start: 19px; inset-inline-end: 16px; width: 9px; height: 9px; border-radius: 50%; background: var(--accent); }
.tools { position: absolute; inset-block-start: 7px; inset-inline-end: 8px; display: flex; opacity: 0; padding: 2px; border-radius: 10px; background: var(--bg); box-shadow: 0 0 0 1px var(--line); }
.item:hover .tools, .item:focus-within .tools { opacity: 1; }
.actions { position: relative; z-index: 1; width: fit-content; display: flex; flex-wrap: wrap; gap: 8px; padding-block-start: 8px; }
.action { padding: 3px 12px; border-radius: 8px; border: 1px solid var(--line); background: var(--bg); color: var(--fg); font-size: 13px; font-weight: 550; text-decoration: none; }
.action:first-child { background: var(--accent); border-color: var(--accent); color: var(--on); }
#more { display: block; margin: 8px auto; color: var(--accent); font-size: 13px; }
#empty { display: grid; justify-items: center; gap: 12px; padding: 52px 24px; color: var(--dim); }
#empty svg { width: 40px; stroke-width: 1.2; }
.bone { height: 40px; margin: 14px 18px; border-radius: 10px; background: var(--line); animation: breathe 1.4s infinite alternate; }
@keyframes breathe { to { opacity: .4; } }
#bar { display: flex; align-items: center; margin: 8px; padding: 6px 6px 6px 14px; border-radius: 10px; background: var(--fg); color: var(--bg); font-size: 13px; }
#bar button { margin-inline-start: auto; font-weight: 650; background: none; text-decoration: underline; }
#footer { justify-content: space-between; padding-block: 6px; border-top: 1px solid var(--line); }
#help { display: grid; grid-template-columns: auto 1fr; gap: 6px 16px; padding: 14px 18px; font-size: 13px; border-top: 1px solid var(--line); }
dt { font-family: monospace; }
#menu { width: 230px; padding: 6px; }
#menu button { width: 100%; text-align: start; }
#menu p { padding: 6px 10px 2px; font-size: 12px; color: var(--dim); border-top: 1px solid var(--line); }
#menu input { width: 100%; padding: 4px 10px; border: 1px solid var(--dim); border-radius: 8px; background: var(--bg); }
#toasts { inset: auto 8px 8px auto; width: min(380px, 100vw - 16px); background: none; box-shadow: none; overflow: visible; }
#toasts:dir(rtl) { inset: auto auto 8px 8px; }
.toast { margin-block-start: 10px; border-radius: var(--round); background: var(--bg); box-shadow: var(--lift); border-inline-start: 4px solid var(--level); animation: rise .25s ease-out; }
.toast .icon { position: absolute; inset-block-start: 8px; inset-inline-end: 8px; }
@keyframes rise { from { opacity: 0; translate: 0 12px; } }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 480px) { #panel { inset: auto 0 0 !important; width: auto; max-width: none; max-height: 88dvh !important; border-radius: var(--round) var(--round) 0 0; } }
@media (hover: none) { .tools { opacity: 1; } .quick { display: none; } .dot { inset-block-start: 44px; } }
@media (prefers-reduced-motion) { * { animation: none !important; } }
@media (forced-colors: active) { .dot, #badge { forced-color-adjust: none; background: Highlight; color: HighlightText; } [popover], .toast, #bar { border: 1px solid; } [aria-selected=true] { border: 2px solid Highlight; } }
`);

class ClarionBell extends HTMLElement {
  /** The headless client of clarion.js. */
  inbox = null;
  $ = null; // the elements of the shadow tree that have an id
  #text = TEXT;
  #filter = "all";
  #drawn = new Map(); // item id -> its article
  #held = new Set(); // ids that arrived above somebody who is reading
  #news = { count: 0, at: 0 };
  #timers = {};
  #tellSeen = false;
  #failed = false;

  connectedCallback() {
    this.$ ?? this.#build();
    this.inbox ??= this.#connect();
    this.inbox.start();
    this.#timers.minute = setInterval(() => this.#tick(), 60_000);
    for (const name of ["pointerdown", "resize", "scroll"]) addEventListener(name, this);
    this.#draw();
  }

  disconnectedCallback() {
    this.inbox.stop();
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    for (const name of ["pointerdown", "resize", "scroll"]) removeEventListener(name, this);
  }

  handleEvent(event) {
    if (!this.isOpen) return;
    if (event.type !== "pointerdown") place(this.$.panel, this.$.bell);
    else if (!event.composedPath().includes(this)) this.close();
  }

  #connect() {
    const get = (name) => this.getAttribute(name) ?? undefined;
    const cookie = RegExp(`(?:^|; )${get("csrf-cookie") ?? "csrftoken"}=([^;]+)`);
    const inbox = createInbox({
      api: get("api"),
      socket: get("socket"),
      stream: get("stream"),
      ticket: get("ticket"),
      key: get("key"),
      transports: get("transports")?.split(" "),
      positions: { inbox: get("inbox"), public: get("public") },
      counts: { unread: +get("unread") || 0, unseen: +get("unseen") || 0 },
      anonymous: this.hasAttribute("anonymous"),
      csrf: () => cookie.exec(document.cookie)?.[1] ?? get("csrf-token") ?? "",
      csrfHeader: get("csrf-header"),
    });
    for (const name of ["change", "status"]) inbox.addEventListener(name, () => this.#soon());
    inbox.addEventListener("arrived", ({ detail }) => this.#arrived(detail.items));
    inbox.addEventListener("toast", ({ detail }) => this.#toast(detail));
    return inbox;
  }

  #build() {
    const strings = document.getElementById(this.getAttribute("strings"));
    if (strings) this.#text = { ...TEXT, ...JSON.parse(strings.textContent) };
    const t = (name) => this.#t(name);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(
      el("button#bell", { "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => this.toggle() },
        icon("bell"), el("span#badge", { "aria-hidden": "true" })),
      el("div#panel", { popover: "manual", role: "dialog", "aria-labelledby": "title", tabindex: "-1", hidden: "", onkeydown: (event) => this.#key(event) },
        el("div#header", {}, el("h2#title", {}, t("title")),
          el("button#markAll", { class: "link", onclick: () => this.#markAll() }, t("markAll")),
          this.#button("close", t("close"), () => this.close())),
        el("div#tabs", { role: "tablist", "aria-labelledby": "title" }, ...["all", "unread", "archived"].map((name) =>
          el(`button#${name}`, { role: "tab", "aria-controls": "body", onclick: () => this.show(name) }))),
        el("p#note", { role: "note" }),
        el("div#body", { role: "tabpanel", onscroll: () => this.#soon() },
          el("button#pill", { onclick: () => this.#showHeld() }),
          el("div#list", { role: "feed", "aria-labelledby": "title", onfocusout: () => this.#soon() }),
          el("div#empty", {}, icon("bell"), el("p")),
          el("div#bones", { "aria-hidden": "true" }, ...[1, 2, 3, 4].map(() => el("div.bone"))),
          el("button#more", { onclick: () => this.#load() })),
        el("dl#help", { hidden: "" }, ...Object.entries(KEYS).flatMap(([key, name]) => [el("dt", {}, key), el("dd", {}, t(name))])),
        el("div#bar", { hidden: "" }),
        el("div#footer", {}, el("a.link", { href: safeUrl(this.getAttribute("page")) }, t("seeAll")),
          this.#button("help", t("help"), () => this.#help()))),
      el("div#menu", { popover: "manual", role: "dialog", "aria-label": t("more"), hidden: "", onkeydown: (event) => this.#menuKey(event) }),
      el("div#toasts", { popover: "manual", role: "region", "aria-label": t("title"), hidden: "" }),
      el("div.sr#status", { role: "status" }),
      el("div.sr#alert", { role: "alert" }),
    );
    this.$ = Object.fromEntries([...root.querySelectorAll("[id]")].map((node) => [node.id, node]));
    const seen = ([{ isIntersecting }]) => isIntersecting && !this.#failed && this.#load();
    new IntersectionObserver(seen, { root: this.$.body }).observe(this.$.more);
  }

  #button(name, label, onclick, kind = "icon") {
    return el(`button.${kind}`, { "data-key": name, "aria-label": label, title: label, onclick }, icon(name));
  }

  /** A text in the page's language. A plural is {sample number: its form}. */
  #t(name, n) {
    let text = this.#text[name] ?? name;
    if (text instanceof Object) {
      const { select } = Intl.PluralRules.prototype;
      const rules = new Intl.PluralRules(this.#lang);
      const same = (sample) => select.call(rules, sample) === select.call(rules, n);
      text = text[Object.keys(text).find(same) ?? 2];
    }
    return text.replace("{n}", n?.toLocaleString(this.#lang));
  }

  get #lang() {
    return this.closest("[lang]")?.lang || navigator.language;
  }

  // --- open, close, load ----------------------------------------------------------------------

  get isOpen() {
    return !this.$.panel.hidden;
  }

  toggle() {
    this.isOpen ? this.close() : this.open();
  }

  open() {
    this.#raise("panel", true);
    this.$.bell.setAttribute("aria-expanded", "true");
    this.#tellSeen = true;
    this.show(this.#filter);
    place(this.$.panel, this.$.bell);
    this.$.panel.focus();
  }

  close() {
    const inside = this.$.panel.contains(this.#focused) || this.$.menu.contains(this.#focused);
    this.#raise("menu", false);
    this.#raise("panel", false);
    this.$.bell.setAttribute("aria-expanded", "false");
    if (inside) this.$.bell.focus();
  }

  /** @param {"all"|"unread"|"archived"} filter */
  show(filter) {
    this.#filter = filter;
    this.#held.clear();
    this.$.body.scrollTop = 0;
    this.#load();
  }

  async #load() {
    if (!this.isOpen) return;
    this.#failed = false;
    const loading = this.inbox.load(this.#filter).catch(() => (this.#failed = true));
    this.#draw();
    await loading;
    this.#soon();
  }

  get #focused() {
    return this.shadowRoot.activeElement;
  }

  /** In the top layer, above whatever the page stacks. */
  #raise(name, shown) {
    const element = this.$[name];
    if (element.hidden !== shown) return;
    element.hidden = !shown;
    element.togglePopover?.(shown);
  }

  // --- drawing --------------------------------------------------------------------------------

  #soon() {
    this.#timers.draw ??= setTimeout(() => this.#draw());
  }

  #draw() {
    clearTimeout(this.#timers.draw);
    delete this.#timers.draw;
    this.#drawBell(this.inbox.counts);
    if (this.isOpen) this.#drawPanel(this.inbox.counts, this.inbox.list(this.#filter));
  }

  #drawBell({ unread, unseen }) {
    const count = this.getAttribute("badge") === "unread" ? unread : unseen;
    this.$.badge.hidden = !count;
    this.$.badge.textContent = count > 99 ? "99+" : count;
    const label = this.#t("title") + (unread ? `, ${this.#t("count", unread)}` : "");
    this.$.bell.setAttribute("aria-label", label);
    this.$.bell.title = label;
    navigator.setAppBadge?.(unread).catch(() => {});
  }

  #drawPanel({ unread, unseen }, view) {
    const { state, code } = this.inbox.status;
    for (const tab of this.$.tabs.children) {
      const on = tab.id === this.#filter;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on - 1;
      tab.textContent = this.#t(tab.id) + (tab.id === "unread" && unread ? ` ${unread}` : "");
    }
    this.$.body.setAttribute("aria-labelledby", this.#filter);
    this.$.markAll.hidden = !unread || this.#filter === "archived";
    this.$.note.hidden = !/offline|stopped/.test(state);
    this.$.note.textContent = this.#t(code === 4504 ? "limit" : state);
    this.#drawList(view);
    this.$.pill.hidden = !this.#held.size;
    this.$.pill.textContent = this.#t("pill", this.#held.size);
    this.$.empty.hidden = view.more || view.items.length;
    this.$.empty.lastChild.textContent = this.#t({ all: "noneAll", unread: "noneUnread" }[this.#filter] ?? "noneArchived");
    this.$.bones.hidden = view.loaded || this.#failed;
    this.$.more.hidden = !this.#failed && (!view.loaded || !view.more);
    this.$.more.textContent = this.#t(this.#failed ? "notLoaded" : "loadMore");
    if (!view.loaded && !view.loading && !this.#failed) this.#load(); // the server reset the list
    if (unseen && this.#tellSeen && view.loaded && !this.#held.size && !document.hidden) {
      this.#tellSeen = false;
      this.inbox.markAll("seen").catch(() => {});
    }
  }

  #drawList({ items, more, loading }) {
    const { list, body, panel } = this.$;
    const focused = this.#focused;
    const current = focused?.closest(".item");
    const index = [...list.children].indexOf(current);
    if (!current && body.scrollTop < 8) this.#held.clear();
    const articles = items.filter(({ id }) => !this.#held.has(id)).map((item) => this.#article(item));
    for (const [id, article] of this.#drawn) {
      if (articles.includes(article)) continue;
      article.remove();
      this.#drawn.delete(id);
    }
    articles.forEach((article, at) => {
      article.setAttribute("aria-posinset", at + 1);
      article.setAttribute("aria-setsize", more ? -1 : articles.length);
      if (list.children[at] !== article) list.insertBefore(article, list.children[at] ?? null);
    });
    list.hidden = !articles.length;
    list.setAttribute("aria-busy", loading);
    if (!current || this.#focused === focused) return;
    const next = current.isConnected ? current : (articles[index] ?? articles.at(-1) ?? panel);
    const same = current.isConnected && next.querySelector(`[data-key=${focused.dataset.key}]`);
    (same || next).focus(); // what had the focus was redrawn, or is gone
  }

  #article(item) {
    let article = this.#drawn.get(item.id);
    if (!article) this.#drawn.set(item.id, (article = el("article", { tabindex: "0" })));
    const state = JSON.stringify(item);
    if (article.state !== state) this.#fill(article, item);
    return Object.assign(article, { item, state });
  }

  #fill(article, item) {
    const name = item.title || item.message;
    const tool = (as, act, kind) => this.#button(as, `${this.#t(as)}: ${name}`, act, kind);
    const toggle = (as) => tool(as, () => this.#mark(as, item), "icon quick");
    article.className = item.read ? "item" : "item unread";
    article.part = article.className;
    article.dataset.level = item.level;
    article.setAttribute("aria-labelledby", `n${item.id}`);
    article.onclick = ({ target }) => target.closest("a, button") || this.#read(item);
    article.replaceChildren(
      this.#avatar(item),
      el("div", {},
        this.#link(item, `n${item.id}`),
        item.body && el("p.text", { dir: "auto" }, item.body),
        el("p.meta", {},
          item.pinned && icon("pinned", this.#t("pinned")),
          item.actor && el("bdi", {}, item.actor.name),
          el("time", { datetime: item.arrived_at, title: new Date(item.arrived_at).toLocaleString(this.#lang) }, this.#ago(item.arrived_at)),
          item.count > 1 && el("span.count", {}, `×${item.count}`)),
        item.actions?.length && el("div.actions", {}, ...item.actions.map((action, at) => this.#action(item, action, at)))),
      !item.read && el("span.dot", {}, el("span.sr", {}, this.#t("unread"))),
      el("div.tools", {},
        toggle(item.read ? "toUnread" : "toRead"),
        toggle(item.archived ? "toUnarchived" : "toArchived"),
        tool("more", ({ currentTarget }) => this.#menu(item, currentTarget))),
    );
  }

  #avatar({ actor, level = "info" }) {
    const initials = actor?.name.split(/\s+/).map(([letter]) => letter).join("").slice(0, 2);
    const sign = icon(ICON[level] ? level : "info", this.#t(level));
    return el("div.avatar", {}, initials && el("span", { "aria-hidden": "true" }, initials), sign);
  }

  #link(item, id) {
    const href = safeUrl(item.url);
    const follow = { href, "data-key": "title", onclick: (event) => this.#open(item) || event.preventDefault(), onauxclick: () => this.#read(item) };
    return el(href ? "a.title" : "span.title", { id, dir: "auto", ...(href && follow) }, item.title || item.message);
  }

  #action(item, { label, url, method }, at) {
    const href = safeUrl(url);
    const look = { "data-key": `a${at}` };
    if (!href) return "";
    if (method !== "POST") return el("a.action", { ...look, href, onclick: () => this.#read(item) }, label);
    const act = () => this.#try(this.inbox.act(item, url).then(() => this.#tell("done")));
    return el("button.action", { ...look, onclick: act }, label);
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

  #tick() {
    for (const time of this.$.list.querySelectorAll("time")) time.textContent = this.#ago(time.dateTime);
  }

  // --- acting ---------------------------------------------------------------------------------

  /** A site may take over, in a page without reloads: preventDefault() on "clarion-open". */
  #open(item) {
    this.#read(item);
    return this.dispatchEvent(new CustomEvent("clarion-open", { detail: { item }, bubbles: true, cancelable: true }));
  }

  #read(item) {
    if (item.id && !item.read) this.#try(this.inbox.mark("read", [item.id]));
  }

  /** @param {string} to such as "toArchived" */
  #mark(to, item, until) {
    const as = to.slice(2).toLowerCase();
    this.#try(this.inbox.mark(as, [item.id], until));
    if (/^(arch|snoo)/.test(as)) this.#tell(`did${to.slice(2)}`, () => this.inbox.undo(as, [item.id]));
  }

  /** With undo where all that was unread is known here: half an undo would be a lie. */
  async #markAll() {
    const { unread } = this.inbox.counts;
    const known = () => this.inbox.list("unread").items.map(({ id }) => id);
    if (known().length < unread) await this.inbox.load("unread").catch(() => {});
    const ids = known();
    this.#try(this.inbox.markAll("read"));
    this.#tell("didRead", ids.length === unread && (() => this.inbox.undo("read", ids)));
    this.$.panel.focus();
  }

  #try(change) {
    change.catch(({ status }) => this.#tell(status ? "failed" : "unreachable"));
  }

  #tell(name, undo) {
    const { bar, status } = this.$;
    const hide = () => (bar.hidden = true);
    const back = () => {
      hide();
      this.#try(undo());
      this.$.panel.focus();
    };
    status.textContent = this.#t(name);
    bar.replaceChildren(this.#t(name), undo ? el("button", { onclick: back }, this.#t("undo")) : "");
    bar.hidden = false;
    this.#linger("bar", bar, hide, 8000);
  }

  /** Take it away in a while, but not from under a pointer or the focus. */
  #linger(name, element, away, time) {
    const stay = () => clearTimeout(this.#timers[name]);
    const go = () => {
      stay();
      this.#timers[name] = setTimeout(away, time);
    };
    Object.assign(element, { onpointerenter: stay, onfocusin: stay, onpointerleave: go, onfocusout: go });
    go();
  }

  #menu(item, anchor) {
    const { menu } = this.$;
    const choice = (name, act) => el("button", { onclick: () => (this.#leaveMenu(), act()) }, this.#t(name));
    const toggle = (on, off) => choice(on, () => this.#mark(on, item)) && choice(off, () => this.#mark(off, item));
    const snooze = (time) => this.#mark("toSnoozed", item, new Date(time).toISOString());
    const until = el("input", { type: "datetime-local", "aria-label": this.#t("until") });
    menu.anchor = anchor;
    menu.replaceChildren(
      toggle("", item.read ? "toUnread" : "toRead"),
      toggle("", item.archived ? "toUnarchived" : "toArchived"),
      toggle("", item.pinned ? "toUnpinned" : "toPinned"),
      ...(item.archived ? [] : [
        el("p", {}, this.#t("snooze")),
        choice("hour", () => snooze(Date.now() + HOUR)),
        choice("hours", () => snooze(Date.now() + 4 * HOUR)),
        choice("tomorrow", () => snooze(new Date().setHours(32, 0, 0, 0))),
        until,
        choice("snooze", () => until.value && snooze(until.value)),
      ]),
    );
    this.#raise("menu", true);
    place(menu, anchor);
    menu.firstChild.focus();
  }

  #leaveMenu() {
    this.#raise("menu", false);
    this.$.menu.anchor.focus();
  }

  #menuKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const choices = [...this.$.menu.querySelectorAll("button")];
    if (event.key === "Escape") this.#leaveMenu();
    else if (step && event.target.type !== "datetime-local") turn(choices, event.target, step).focus();
    else return;
    event.preventDefault();
  }

  #help() {
    this.$.help.hidden = !this.$.help.hidden;
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const focused = this.#focused;
    const article = focused.closest(".item");
    const item = article?.item;
    const step = { PageDown: 1, j: 1, PageUp: -1, k: -1 }[event.key];
    const side = focused.role === "tab" && { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") this.close();
    else if (step) this.#step(article, step);
    else if (side) this.#turnTab(focused, side);
    else if (event.key === "?") this.#help();
    else if (!item) return;
    else if (event.key === "Enter" && focused === article) article.querySelector("a.title")?.click() ?? this.#read(item);
    else if (event.key === "e") this.#mark(item.archived ? "toUnarchived" : "toArchived", item);
    else if (event.key === "I") this.#mark("toRead", item);
    else if (event.key === "U") this.#mark("toUnread", item);
    else return;
    event.preventDefault();
  }

  #step(article, step) {
    const articles = [...this.$.list.children];
    articles[article ? articles.indexOf(article) + step : 0]?.focus();
  }

  #turnTab(tab, step) {
    const next = turn([...this.$.tabs.children], tab, this.matches(":dir(rtl)") ? -step : step);
    this.show(next.id);
    next.focus();
  }

  // --- arrivals -------------------------------------------------------------------------------

  #arrived(items) {
    this.#tellSeen = true;
    const reading = this.isOpen && (this.$.body.scrollTop >= 8 || this.#focused?.closest(".item"));
    for (const { item, previous } of items) {
      if (reading && !previous) this.#held.add(item.id);
      if (!this.isOpen) this.#toast(item);
    }
    this.#announce(items);
  }

  #showHeld() {
    this.show(this.#filter);
    this.$.list.firstChild?.focus();
  }

  /** One polite sentence at most every 5 s, however many arrive. Only what is critical interrupts. */
  #announce(items) {
    const critical = items.find(({ item }) => item.level === "critical");
    if (critical) this.$.alert.textContent = critical.item.message;
    this.#news.count += items.length;
    this.#timers.news ??= setTimeout(() => {
      this.$.status.textContent = this.#t("news", this.#news.count);
      this.#news = { count: 0, at: Date.now() };
      delete this.#timers.news;
    }, this.#news.at + 5000 - Date.now());
  }

  #toast(item) {
    if (document.hidden || this.getAttribute("toasts") === "off") return;
    const { toasts } = this.$;
    const gone = () => {
      toast.remove();
      this.#raise("toasts", toasts.childElementCount > 0);
    };
    const toast = el("div.toast", { "data-level": item.level ?? "info" },
      this.#avatar(item),
      el("div", {}, this.#link(item), item.body && el("p.text", { dir: "auto" }, item.body)),
      this.#button("close", this.#t("close"), gone));
    toasts.append(toast);
    if (toasts.childElementCount > 3) toasts.firstChild.remove();
    this.#raise("toasts", true);
    this.#linger(Symbol(), toast, gone, 8000);
  }
}

/** An element from "tag.class" or "tag#id" (also its ::part), attributes and children; what is
 *  falsy is left out. */
function el(kind, attributes = {}, ...children) {
  const [, tag, classes, id] = /^(\w+)(?:\.([\w -]+))?(?:#(\w+))?/.exec(kind);
  const node = document.createElement(tag);
  const given = { class: classes, id, part: id ?? classes, ...attributes };
  for (const [name, value] of Object.entries(given)) {
    if (value instanceof Function) node[name] = value;
    else if (value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter(Boolean));
  return node;
}

function icon(name, label) {
  const make = (tag) => document.createElementNS("http://www.w3.org/2000/svg", tag);
  const [svg, path] = [make("svg"), make("path")];
  path.setAttribute("d", ICON[name]);
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute(label ? "aria-label" : "aria-hidden", label ?? "true");
  if (label) svg.setAttribute("role", "img");
  svg.append(path);
  return svg;
}

/** The one after, or before, around the end. */
function turn(list, from, step) {
  return list.at((list.indexOf(from) + step) % list.length);
}

/** Beside its anchor and inside the viewport: below it, or above where there is more room. */
function place({ style, offsetWidth, offsetHeight }, anchor) {
  const at = anchor.getBoundingClientRect();
  const [above, below] = [at.top - 14, innerHeight - at.bottom - 14];
  const under = below >= Math.min(offsetHeight, above);
  const left = anchor.matches(":dir(rtl)") ? at.left : at.right - offsetWidth;
  style.left = `${Math.max(8, Math.min(left, innerWidth - offsetWidth - 8))}px`;
  style.top = under ? `${at.bottom + 6}px` : "auto";
  style.bottom = under ? "auto" : `${innerHeight - at.top + 6}px`;
  style.maxHeight = `${Math.min(640, under ? below : above)}px`;
}

customElements.get("clarion-bell") ?? customElements.define("clarion-bell", ClarionBell);
