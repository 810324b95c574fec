// Shows what is pushed. Its scope is where include("clarion.urls") put it, so it gets in the way of
// no other worker. Browsers that know declarative push may show a message without asking it.
const MARK = "clarion-push";
const here = (path) => new URL(path, self.location);

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("push", (event) => event.waitUntil(receive(event.data)));
self.addEventListener("notificationclick", (event) => event.waitUntil(open(event.notification)));
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(renew(event)));

async function receive(data) {
  const { title = self.location.hostname, ...options } = read(data);
  if (!(await isShown())) await self.registration.showNotification(title, options);
}

/** What can't be read is announced all the same: browsers want to see a notification. */
function read(data) {
  try {
    return data.json().notification ?? {};
  } catch {
    return {};
  }
}

/** Whether a tab that somebody looks at has a live bell, which shows it anyway. */
async function isShown() {
  const tabs = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const looked = tabs.filter((tab) => tab.focused && tab.visibilityState === "visible");
  return (await Promise.all(looked.map(asked))).includes(true);
}

function asked(tab) {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => done(true);
    tab.postMessage(MARK, [port2]);
    setTimeout(done, 1000, false);
  });
}

/** The link comes from our server, encrypted; without one it is the inbox. */
async function open(notification) {
  const { url = "", notification: id } = notification.data ?? {};
  notification.close();
  const target = here(url || "./");
  const read = id ? tell("mark/", { as: "read", ids: [id] }).catch(() => {}) : null;
  if (/^https?:$/.test(target.protocol)) await show(target.href);
  await read;
}

async function show(url) {
  const tabs = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const tab = tabs.find((other) => other.url === url);
  return tab ? tab.focus() : self.clients.openWindow(url);
}

/** The browser has a new subscription, or wants one. Where nobody is signed in, the next page sees to it. */
async function renew({ newSubscription }) {
  const { key } = await ask();
  const wanted = { userVisibleOnly: true, applicationServerKey: key };
  const subscription = newSubscription ?? (await self.registration.pushManager.subscribe(wanted));
  const { endpoint, keys } = subscription.toJSON();
  await tell("push/subscribe/", { endpoint, keys });
}

async function ask() {
  return answer(await fetch(here("api/push/")));
}

async function tell(path, fields) {
  const { csrf } = await ask();
  const headers = { "Content-Type": "application/json", [csrf.header]: csrf.token };
  return answer(await fetch(here(`api/${path}`), { method: "POST", headers, body: JSON.stringify(fields) }));
}

function answer(response) {
  if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
  return response.json();
}
