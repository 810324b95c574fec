// Notifications while no page of the site is open: see docs/howto/webpush.md. <clarion-push> is the
// switch for this browser; the bell gets one, and more may stand on a page that has a bell.
const bell = document.querySelector("clarion-bell[push]");
const [api, script] = ["push", "worker"].map((name) => new URL(bell.getAttribute(name), document.baseURI));
const owner = bell.getAttribute("key"); // differs between people
const MARK = "clarion-push"; // in localStorage: for whom this browser was switched on
const strings = JSON.parse(document.getElementById(bell.getAttribute("strings")).textContent);
const t = (text) => strings[text] ?? text;

/** This browser, and whether the person who is signed in is notified by it. */
class Device extends EventTarget {
  state = "off"; // "on", "off", or "blocked" by the browser
  busy = false;
  failed = false;

  /** From what the browser knows; the server is asked where that doesn't fit together. */
  async start() {
    const [subscription, mine] = [await current(), localStorage[MARK] === owner];
    if (!!subscription === mine) return this.#tell(mine);
    if (subscription) return this.check(); // somebody else's?
    if (Notification.permission === "granted") return this.#change(subscribe); // lost, or paused
    this.#tell(false);
  }

  check() {
    return this.#change(check);
  }

  /** Call it from a click: browsers ask nobody for permission otherwise. */
  async on() {
    if ((await Notification.requestPermission()) !== "granted") return this.#tell(false);
    await this.#change(subscribe, true);
    if (this.state !== "on") return;
    const registration = await ours();
    await registration.showNotification(t("Notifications are on for this device"), { tag: MARK });
  }

  async off() {
    delete localStorage[MARK];
    await this.#change(end, true);
  }

  /** Off until the same person is back: for the moment before they sign out. */
  pause() {
    return this.#change(end);
  }

  /** One at a time, in all tabs. `step` says whether it is on now; only what was `asked` for complains. */
  async #change(step, asked = false) {
    let on = this.state === "on";
    this.busy = true;
    this.failed = false;
    this.#tell(on);
    try {
      on = await navigator.locks.request(MARK, step);
    } catch {
      this.failed = asked;
    }
    this.busy = false;
    this.#tell(on);
  }

  #tell(on) {
    this.state = Notification.permission === "denied" ? "blocked" : on ? "on" : "off";
    this.dispatchEvent(new Event("change"));
  }
}

/** A subscription that the server doesn't know as this person's has no place in their browser. */
async function check() {
  const subscription = await current();
  if (!subscription) return false;
  const { key, devices } = await ask();
  if (!devices.includes(await digest(subscription.endpoint))) {
    if (localStorage[MARK] === owner) delete localStorage[MARK]; // taken away elsewhere: it stays off
    return end();
  }
  if (keyOf(subscription) !== key) return subscribe(); // the site has a new one
  localStorage[MARK] = owner;
  return true;
}

async function subscribe() {
  const { key } = await ask();
  const { pushManager } = await register();
  const old = await pushManager.getSubscription();
  if (old && keyOf(old) !== key) await old.unsubscribe();
  const asked = pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  const subscription = await within(20_000, asked); // where the push service is blocked, for ever
  const { endpoint, keys } = subscription.toJSON();
  await tell("subscribe/", { endpoint, keys, label: label() });
  localStorage[MARK] = owner;
  return true;
}

/** The push service forgets it even when our server can't be reached. */
async function end() {
  const subscription = await current();
  if (!subscription) return false;
  await subscription.unsubscribe();
  await tell("unsubscribe/", { endpoint: subscription.endpoint }).catch(() => {});
  return false;
}

async function current() {
  return (await ours())?.pushManager.getSubscription();
}

/** Our registration: the site may have a worker of its own, with a wider scope. */
async function ours() {
  const found = await navigator.serviceWorker.getRegistration(script);
  return found?.active?.scriptURL === script.href ? found : undefined;
}

let policy; // Trusted Types: this one address, and no other
async function register() {
  policy ??= window.trustedTypes?.createPolicy("clarion", { createScriptURL: () => script.href });
  const registration = await navigator.serviceWorker.register(policy?.createScriptURL("") ?? script.href);
  const coming = registration.installing ?? registration.waiting;
  if (registration.active || !coming) return registration;
  const active = new Promise((done) => (coming.onstatechange = () => registration.active && done(registration)));
  return within(20_000, active);
}

async function ask() {
  return answer(await fetch(api, { signal: AbortSignal.timeout(15_000) }));
}

async function tell(path, fields) {
  const { csrf } = await ask();
  const headers = { "Content-Type": "application/json", [csrf.header]: csrf.token };
  const request = { method: "POST", headers, body: JSON.stringify(fields), signal: AbortSignal.timeout(15_000) };
  return answer(await fetch(new URL(path, api), request));
}

function answer(response) {
  if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
  return response.json();
}

function within(ms, promise) {
  return Promise.race([promise, new Promise((_, fail) => setTimeout(fail, ms, new Error("no answer")))]);
}

async function digest(endpoint) {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(endpoint.toLowerCase()));
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function keyOf({ options }) {
  const text = btoa(String.fromCharCode(...new Uint8Array(options.applicationServerKey)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** By what people tell their devices apart: Firefox, Linux. */
function label() {
  const known = [/Firefox|Edg|OPR|Chrome|Safari/, /Android|iPhone|iPad|Windows|Mac OS|Linux/];
  return known.map((names) => names.exec(navigator.userAgent)?.[0]).filter(Boolean).join(", ");
}

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host { display: block; margin-top: 12px; font-size: 13px; }
:host([part=push]) { margin: 0; border-top: 1px solid var(--line, #8884); }
:host([hidden]) { display: none; }
button { display: flex; align-items: center; gap: 12px; width: 100%; min-height: 40px; margin: 0; padding: 4px 18px; border: 0; background: none; color: inherit; font: inherit; text-align: start; cursor: pointer; }
button:hover { background: color-mix(in srgb, var(--line, #8884) 45%, #0000); }
button:focus-visible { outline: 2px solid var(--accent, Highlight); outline-offset: -2px; }
button[aria-disabled=true] { cursor: default; }
#text { flex: 1; }
#track { flex: none; width: 32px; height: 18px; padding: 2px; border: 2px solid var(--dim, currentColor); border-radius: 11px; }
#track::before { content: ""; display: block; width: 10px; height: 10px; border-radius: 50%; background: var(--dim, currentColor); transition: translate .15s; }
[aria-checked=true] #track { border-color: var(--accent, Highlight); background: var(--accent, Highlight); }
[aria-checked=true] #track::before { background: var(--on, Canvas); translate: 14px; }
[aria-checked=true] #track:dir(rtl)::before { translate: -14px; }
[aria-busy=true] #track { opacity: .5; }
#hint { margin: 0; padding: 0 18px 10px; color: var(--dim, inherit); }
#hint:empty { display: none; }
* { box-sizing: border-box; }
@media (prefers-reduced-motion) { #track::before { transition: none; } }
@media (forced-colors: active) { [aria-checked=true] #track { background: Highlight; } [aria-checked=true] #track::before { background: HighlightText; } }
`);

const HINTS = {
  blocked: "Blocked: allow notifications for this site in your browser",
  failed: "That did not work. Try again later",
};

class ClarionPush extends HTMLElement {
  #button = el("button", { id: "switch", type: "button", part: "switch" });
  #hint = el("p", { id: "hint", part: "hint", role: "status" });

  connectedCallback() {
    if (!this.shadowRoot) this.#build();
    device.addEventListener("change", this);
    this.handleEvent();
  }

  disconnectedCallback() {
    device.removeEventListener("change", this);
  }

  #build() {
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    const text = el("span", { id: "text" });
    text.textContent = t("Notify me on this device");
    this.#button.append(text, el("span", { id: "track", "aria-hidden": true }));
    this.#button.setAttribute("role", "switch");
    this.#button.onclick = () => this.#toggle();
    root.append(this.#button, this.#hint);
  }

  #toggle() {
    if (device.busy || device.state === "blocked") return;
    if (device.state === "on") device.off();
    else device.on();
  }

  handleEvent() {
    const { state, busy, failed } = device;
    this.#button.ariaChecked = state === "on";
    this.#button.ariaBusy = busy;
    this.#button.ariaDisabled = state === "blocked";
    const hint = HINTS[failed ? "failed" : state];
    this.#hint.textContent = hint ? t(hint) : "";
  }
}

function el(tag, attributes) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** The worker asks every tab in front whether it shows what is new by itself. */
function onAsked({ data, ports: [port] }) {
  if (data === MARK && bell.inbox.status.state === "live") port.postMessage(true);
}

/** <form method="post" action="/logout/" data-clarion-sign-out> waits until this device is quiet. */
async function onSubmit(event) {
  const form = event.target;
  if (!form.matches("[data-clarion-sign-out]") || device.state !== "on") return;
  event.preventDefault();
  await within(3000, device.pause()).catch(() => {});
  HTMLFormElement.prototype.submit.call(form);
}

const device = new Device();

if (isSecureContext && "PushManager" in window && navigator.serviceWorker) {
  customElements.define("clarion-push", ClarionPush);
  await customElements.whenDefined("clarion-bell");
  const panel = bell.shadowRoot.getElementById("panel");
  panel.insertBefore(el("clarion-push", { part: "push", exportparts: "switch, hint" }), panel.lastChild);
  panel.addEventListener("toggle", () => device.check(), { once: true });
  navigator.serviceWorker.addEventListener("message", onAsked);
  navigator.permissions.query({ name: "notifications" }).then((status) => (status.onchange = () => device.start()));
  document.addEventListener("submit", onSubmit);
  bell.push = device;
  device.start().catch(() => {}); // some browsers are told to store nothing
}
