// An inbox without a user interface: see docs/howto/bell.md and clarion.d.ts. Frames may be lost,
// repeated or reordered; each covers a range of versions.
const PATCHES = {
  seen: { seen: true },
  read: { seen: true, read: true },
  unread: { read: false },
  archived: { archived: true, pinned: false },
  unarchived: { archived: false },
  pinned: { pinned: true },
  unpinned: { pinned: false },
  unsnoozed: { snoozed_until: null },
};
const FILTERS = {
  all: (item) => !item.archived && !item.snoozed_until,
  unread: (item) => FILTERS.all(item) && !item.read,
  archived: (item) => item.archived,
  snoozed: (item) => !item.archived && item.snoozed_until,
};

export const createInbox = (options) => new Inbox(options);

export function safeUrl(url) {
  return /^https?:$/.test(URL.parse(url || "data:", document.baseURI)?.protocol) ? url : "";
}

export function compare(a, b) {
  const time = (item) => Date.parse(item.arrived_at);
  const number = (item) => +String(item.id).replace("a", "");
  return b.pinned - a.pinned || time(b) - time(a) || number(b) - number(a);
}

class Inbox extends EventTarget {
  status = { state: "connecting" };
  #options;
  #store;
  #link;
  #channel;
  #leader = false;
  #started;
  #targets = {}; // told of by the server
  #timers = new Timers();
  #sent = Promise.resolve(); // marks go one by one

  constructor(options) {
    super();
    this.#options = options;
    options.transports ??= ["websocket", "sse", "polling"];
    this.#store = new Store(options);
    this.#link = new Link(options, {
      frame: (frame) => this.#heard(frame),
      status: (status) => this.#setStatus(status),
      query: () => this.#store.query(),
      request: (...request) => this.#request(...request),
    });
  }

  start() {
    if (this.#started) return;
    const { signal } = (this.#started = new AbortController());
    addEventListener("pageshow", this); // for ever: the page may be restored
    for (const name of ["online", "offline", "pagehide", "visibilitychange"]) {
      addEventListener(name, this, { signal });
    }
    if (!navigator.locks) return this.#lead(); // insecure context: a socket for each tab
    this.#channel = new BroadcastChannel(`clarion:${this.#options.key ?? this.#options.api}`);
    this.#channel.onmessage = ({ data }) => this.#told(data);
    const hold = () => {
      this.#lead();
      return new Promise((done) => (signal.onabort = done)); // gives the lock back
    };
    navigator.locks.request(this.#channel.name, { signal }, hold).catch(() => {});
    this.#ask();
  }

  stop() {
    this.#leader = false;
    this.#link.stop();
    this.#timers.clear();
    this.#channel?.close();
    this.#started?.abort();
    this.#channel = this.#started = null;
  }

  get counts() {
    return this.#store.counts();
  }

  list(filter = "all") {
    const { loaded, loading, next } = this.#store.view(filter);
    return { items: this.#store.list(filter), loaded, loading: !!loading, more: !loaded || !!next };
  }

  async load(filter = "all") {
    const view = this.#store.view(filter);
    if (this.#options.anonymous) view.loaded = true;
    if (view.loaded && !view.next) return;
    return (view.loading ??= this.#loadPage(filter, view));
  }

  async #loadPage(filter, view) {
    try {
      const query = new URLSearchParams({ filter, ...(view.next && { before: view.next }) });
      const page = await this.#request("GET", `inbox/?${query}`);
      if (this.#store.view(filter) === view) this.#store.addPage(view, page);
    } finally {
      view.loading = null;
      this.#emit("change");
    }
  }

  mark(as, ids, until) {
    return this.#mark({ as, ids: [...ids], until });
  }

  async markAll(as = "read") {
    const twins = this.#store.twins();
    if (twins.length) await this.mark(as, twins);
    const upto = this.#store.cursors.inbox?.version;
    if (upto) return this.#mark({ as, upto });
  }

  undo(as, ids) {
    return this.mark(`un${as}`, ids);
  }

  async #mark(mark) {
    const { ops } = this.#store;
    ops.add(mark);
    this.#emit("change");
    try {
      const send = () => !this.#options.anonymous && this.#request("POST", "mark/", mark);
      const answer = await (this.#sent = this.#sent.then(send, send));
      this.#store.settle(mark, answer);
      return answer;
    } finally {
      ops.delete(mark);
      this.#emit("change");
    }
  }

  async act(item, url) {
    await this.#request("POST", new URL(url, document.baseURI));
    await this.mark("read", [item.id]);
  }

  async #request(method, path, body) {
    const { api, csrf, csrfHeader = "X-CSRFToken" } = this.#options;
    const headers = {};
    if (body) headers["Content-Type"] = "application/json";
    if (method === "POST" && csrf) headers[csrfHeader] = csrf();
    const response = await fetch(new URL(path, new URL(api, document.baseURI)), {
      method,
      mode: "same-origin", // nobody else gets the CSRF token
      headers,
      body: JSON.stringify(body),
      keepalive: method === "POST",
      signal: AbortSignal.timeout(15_000),
    }).catch(() => Response.error()); // has status 0
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const { status, statusText } = response;
    throw Object.assign(new Error(answer.detail ?? statusText), { status });
  }

  #heard(frame) {
    if (this.#leader) this.#channel?.postMessage({ frame });
    this.#take(frame);
  }

  #take(frame) {
    if (frame.stream) this.#range(frame);
    if (frame.type === "toast") this.#emit("toast", frame);
    for (const part of frame.frames ?? []) this.#take(part);
    if (frame.streams) {
      this.#store.count(frame.counts, frame.streams.inbox);
      this.#reach(frame.streams, 2000);
    }
    this.#emit("change");
  }

  #range(frame) {
    const arrived = this.#store.apply(frame);
    if (!arrived) return this.#reach({ [frame.stream]: frame }, this.#leader ? 0 : 1000);
    this.#timers.stop("answer");
    if (arrived.length) this.#emit("arrived", { items: arrived });
    if (frame.stream === "inbox") this.#acknowledge();
  }

  #reach(streams, grace) {
    for (const [name, { epoch, version }] of Object.entries(streams)) {
      this.#store.cursors[name] ??= { epoch, version }; // no cursor: live from now on
      this.#targets[name] = { epoch, version };
    }
    if (grace) this.#timers.once("reach", grace, () => this.#resume());
    else this.#resume();
  }

  #behind() {
    return Object.entries(this.#targets).some(([name, { epoch, version }]) => {
      const cursor = this.#store.cursors[name];
      return (cursor.epoch && epoch && cursor.epoch !== epoch) || version > cursor.version;
    });
  }

  #resume() {
    if (!this.#behind() || this.#timers.has("answer")) return;
    this.#timers.start("answer", 5000, () => this.#link.lost());
    const message = { type: "resume", ...Object.fromEntries(this.#store.query()) };
    if (!this.#link.send(message)) this.#catchUp();
  }

  /** For tabs without a socket, and transports without a way back. */
  async #catchUp() {
    const answer = await this.#request("GET", `changes/?${this.#store.query()}`).catch(() => ({}));
    this.#heard(answer);
  }

  #acknowledge() {
    this.#timers.once("ack", 1000, () => {
      this.#link.send({ type: "ack", inbox: this.#store.cursors.inbox.version });
    });
  }

  #lead() {
    this.#leader = true;
    this.#timers.stop("silence");
    this.#link.start();
  }

  #ask() {
    this.#channel.postMessage({ ask: true });
    this.#listen(3000);
  }

  /** The leader may be frozen: then this tab looks for itself. */
  #listen(patience = 40_000) {
    this.#timers.start("silence", patience, () => {
      this.#catchUp();
      this.#listen();
    });
  }

  #told({ ask, frame, status, streams }) {
    if (this.#leader) return ask && this.#share();
    if (ask) return;
    this.#listen();
    if (frame) this.#take(frame);
    if (status) this.#setStatus(status);
    if (streams) this.#reach(streams, 0);
  }

  #share() {
    this.#channel?.postMessage({ status: this.status, streams: this.#store.cursors });
  }

  #setStatus(status) {
    this.status = status;
    if (this.#leader) this.#share();
    this.#emit("status");
  }

  handleEvent({ type, persisted }) {
    if (type === "pagehide") this.stop(); // it may be restored
    else if (persisted) this.start();
    else if (document.hidden) return;
    else if (this.#leader) this.#link.probe();
    else if (this.#channel) this.#ask();
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

class Store {
  items = new Map();
  cursors = {};
  ops = new Set(); // own marks on their way
  #options;
  #views = {};
  #counts;
  #marks = []; // recent bulk marks, for pages that were read before them
  #since = Date.now() - 600_000; // older items are not new, listed or not

  constructor(options) {
    this.#options = options;
    for (const name of ["inbox", "public"]) {
      const [epoch, version] = options[name]?.split(".") ?? [];
      if (version) this.cursors[name] = { epoch, version: +version };
    }
    const { unread = 0, unseen = 0 } = options;
    this.#counts = { unread: +unread, unseen: +unseen, ...this.cursors.inbox };
  }

  query() {
    const cursors = Object.entries(this.cursors);
    return new URLSearchParams(cursors.map(([name, at]) => [name, `${at.epoch}.${at.version}`]));
  }

  /** What is new to this screen; undefined where frames are missing. */
  apply(frame) {
    if (frame.type === "reset") return this.#replace(frame);
    const { stream, epoch, after, version, items = [], marks = [] } = frame;
    const cursor = (this.cursors[stream] ??= { epoch, version: after });
    if ((cursor.epoch && cursor.epoch !== epoch) || after > cursor.version) return;
    if (stream === "inbox") this.count(frame.counts, frame);
    if (version <= cursor.version) return [];
    const arrived = items.map((item) => this.#put(item, true)).filter(Boolean);
    for (const mark of marks) this.#markAll({ ...mark, version });
    if (!frame.more) this.cursors[stream] = { epoch, version }; // else its rest is to come
    if (this.items.size > 1000) this.#forget();
    return arrived;
  }

  #replace(frame) {
    const { stream, epoch, version } = frame;
    this.#forget();
    this.cursors[stream] = { epoch, version };
    if (stream === "inbox" || this.#options.anonymous) {
      this.addPage(this.view("all"), frame); // else the inbox has its rows of the announcements
    }
    if (frame.counts) this.#counts = frame.counts;
    return [];
  }

  #forget() {
    this.items.clear();
    this.#views = {};
    this.#marks = [];
  }

  count(counts, at) {
    const { epoch, version } = this.#counts;
    if (!counts || !at || (epoch === at.epoch && version > at.version)) return;
    this.#counts = { ...counts, epoch: at.epoch, version: at.version };
  }

  /** Removed items stay as tombstones: a page read before would bring them back. */
  #put(item, live) {
    const previous = this.items.get(item.id);
    if (previous?.version >= item.version + live) return;
    this.items.set(item.id, item.removed ? { ...previous, ...item } : item);
    if (item.removed || item.seen || !FILTERS.unread(item) || this.#owned(item)) return;
    const told = previous ?? this.items.get(`a${item.event}`); // an announcement, before its row
    const known = told ? Date.parse(told.arrived_at) : this.#since;
    return Date.parse(item.arrived_at) > known && { item, previous };
  }

  #markAll(mark) {
    this.#marks = [...this.#marks, mark].slice(-20);
    for (const item of this.items.values()) this.items.set(item.id, marked(item, mark));
  }

  addPage(view, { items, next, position }) {
    const [at] = /\d+$/.exec(position) ?? [];
    for (const item of items) {
      const later = this.#marks.filter(({ version }) => version > at);
      this.#put(later.reduce(marked, item), false);
    }
    Object.assign(view, { loaded: true, next, bottom: next && items.at(-1) });
  }

  settle(mark, { version = Infinity, counts }) {
    for (const item of this.items.values()) {
      if (item.version <= version || isTwin(item)) this.items.set(item.id, marked(item, mark));
    }
    const at = this.cursors.inbox;
    this.count(counts, { ...at, version });
    if (at?.version + 1 === version) at.version = version;
  }

  view(filter) {
    return (this.#views[filter] ??= { loaded: false });
  }

  /** Down to the last fetched page: below it there may be rows unknown here. */
  list(filter) {
    const { bottom } = this.view(filter);
    const fits = (item) => FILTERS[filter](item) && !(bottom && compare(item, bottom) > 0);
    return this.#shown().filter(fits).sort(compare);
  }

  twins() {
    return this.#shown().filter(isTwin).map(({ id }) => id);
  }

  #shown() {
    const known = [...this.items.values()].filter((item) => !item.removed && !this.#owned(item));
    return known.map((item) => [...this.ops].reduce(marked, item));
  }

  /** An announcement gives way to the person's own row of the same event. */
  #owned(item) {
    const own = (other) => other.event === item.event && !isTwin(other);
    return isTwin(item) && [...this.items.values()].some(own);
  }

  /** The server's, and what it does not count yet. */
  counts() {
    const shown = this.#shown();
    const total = (name, state) => {
      const weight = (item) => FILTERS.all(item) && !item[state];
      const all = [...this.ops].some(({ as, upto }) => upto && PATCHES[as][state]);
      const known = (item) => !all && !isTwin(item) && weight(this.items.get(item.id));
      const change = shown.reduce((sum, item) => sum + weight(item) - known(item), 0);
      return Math.max(0, change + (all ? 0 : this.#counts[name]));
    };
    return { unread: total("unread", "read"), unseen: total("unseen", "seen") };
  }
}

/** An announcement without an own row. */
function isTwin(item) {
  return typeof item.id === "string";
}

function marked(item, { as, ids, upto, until }) {
  const concerned = ids
    ? ids.includes(item.id) || ids.includes(`a${item.event}`)
    : !isTwin(item) && item.version <= upto && FILTERS.all(item);
  return concerned ? { ...item, ...(PATCHES[as] ?? { snoozed_until: until }) } : item;
}

/** The way to the server: WebSocket, else server-sent events, else polling. */
class Link {
  #options;
  #on;
  #mode = 0;
  #running = false;
  #connection;
  #socket;
  #up = false;
  #failures = 0;
  #attempt = 0;
  #window; // [least, most] ms: when the server wants it back
  #socketWorked = false;
  #heartbeat = 25_000;
  #expired; // the server wants a new ticket
  #timers = new Timers();

  constructor(options, on) {
    this.#options = options;
    this.#on = on;
  }

  start() {
    this.#running = true;
    this.#open();
  }

  stop() {
    this.#running = false;
    this.#close();
  }

  send(message) {
    if (this.#socket?.readyState !== 1) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  probe() {
    if (!this.#running) return;
    if (this.send({ type: "ping" })) this.#watch(3000);
    else this.#again(Math.random() * 500);
  }

  async #open() {
    this.#close();
    const { signal } = (this.#connection = new AbortController());
    this.#watch(10_000);
    try {
      await this.#renewTicket();
      if (!signal.aborted) await this[this.#options.transports[this.#mode]](signal);
    } catch ({ status }) {
      if (!signal.aborted) this.lost([401, 403].includes(status) ? 4500 : 0);
    }
  }

  /** For another origin, and after 4004. */
  async #renewTicket() {
    const options = this.#options;
    if (performance.now() > 540_000) options.ticket = null; // the page's own lives 10 minutes
    const foreign = this.#address("socket").host !== location.host;
    if (options.anonymous || !(foreign || this.#expired)) return;
    options.ticket = (await this.#on.request("POST", "ticket/")).ticket;
    this.#expired = false;
  }

  #address(name) {
    return new URL(`${this.#options[name]}?${this.#on.query()}`, document.baseURI);
  }

  websocket(signal) {
    const { ticket } = this.#options;
    const url = this.#address("socket");
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url, ["clarion.v1", ...(ticket ? [`ticket.${ticket}`] : [])]);
    this.#socket = socket;
    signal.onabort = () => socket.close();
    socket.onmessage = ({ data }) => signal.aborted || this.#heard(JSON.parse(data));
    socket.onclose = ({ code }) => signal.aborted || this.lost(code);
  }

  sse(signal) {
    const source = new EventSource(this.#address("stream"));
    signal.onabort = () => source.close();
    source.onmessage = ({ data }) => this.#heard(JSON.parse(data));
    source.onerror = () => this.lost();
  }

  async polling(signal) {
    while (!signal.aborted) {
      const answer = await this.#on.request("GET", `changes/?${this.#on.query()}`);
      if (signal.aborted) return;
      const wait = answer.interval * 1000 * (document.hidden ? 3 : 1);
      this.#heartbeat = wait + 10_000;
      this.#heard(answer);
      await new Promise((next) => this.#timers.start("poll", wait, next));
    }
  }

  #heard(frame) {
    if (frame.heartbeat) this.#heartbeat = frame.heartbeat * 1000;
    if (frame.retry) this.#window = frame.retry;
    if (frame.type === "bye") return;
    this.#watch(this.#heartbeat * 1.5);
    if (!this.#up) this.#connected();
    this.#on.frame(frame);
  }

  #watch(patience) {
    this.#timers.start("watch", patience, () => this.lost());
  }

  #connected() {
    this.#up = true;
    this.#failures = 0;
    this.#timers.start("stable", 10_000, () => (this.#attempt = 0));
    if (!this.#mode) this.#socketWorked = true;
    else this.#timers.start("upgrade", this.#socketWorked ? 30_000 : 600_000, () => {
      this.#mode = 0;
      this.#open();
    });
    this.#tell("live");
  }

  lost(code) {
    if (!this.#running) return;
    const up = this.#up;
    this.#close();
    this.#running = !(code >= 4500);
    if (!this.#running) return this.#tell("stopped", code);
    this.#expired = code === 4004;
    // A socket that worked is down with its server; else a proxy may forbid it.
    const patience = this.#mode ? 1 : this.#socketWorked ? 5 : 2;
    if (!up && ++this.#failures >= patience) {
      this.#failures = 0;
      this.#mode = (this.#mode + 1) % this.#options.transports.length;
    }
    this.#tell(this.#attempt > 1 || !navigator.onLine ? "offline" : "connecting", code);
    // Thousands must not come back at once.
    const [least, most] = this.#window ?? [0, Math.min(30_000, 1000 * 2 ** this.#attempt)];
    this.#attempt++;
    this.#window = null;
    this.#again(least + Math.random() * (most - least));
  }

  #again(delay) {
    this.#timers.start("again", delay, () => this.#open());
  }

  #tell(state, code = null) {
    const transport = this.#up ? this.#options.transports[this.#mode] : null;
    this.#on.status({ state, transport, code });
  }

  #close() {
    this.#timers.clear();
    this.#connection?.abort();
    this.#socket = null;
    this.#up = false;
  }
}

export class Timers extends Map {
  start(name, delay, step) {
    this.stop(name);
    this.set(name, setTimeout(() => this.delete(name) && step(), delay));
  }

  once(name, delay, step) {
    if (!this.has(name)) this.start(name, delay, step);
  }

  stop(name) {
    clearTimeout(this.get(name));
    this.delete(name);
  }

  clear() {
    for (const name of this.keys()) this.stop(name);
  }
}
