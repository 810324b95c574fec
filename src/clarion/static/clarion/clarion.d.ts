/** Types of clarion.js. Items are what the server sends; see docs/howto/bell.md for the events. */

export interface Counts {
  unread: number;
  unseen: number;
}
export interface Action {
  label: string;
  url: string;
  method: "GET" | "POST";
}
export type Level = "info" | "success" | "warning" | "error" | "critical";
export type Filter = "all" | "unread" | "archived" | "snoozed";
export type State =
  | "seen" | "read" | "unread" | "archived" | "unarchived"
  | "pinned" | "unpinned" | "snoozed" | "unsnoozed";

export interface Item {
  /** An announcement without a row of this person yet has the id "a<event id>". */
  id: number | string;
  event: number;
  version: number;
  type: string;
  category: string;
  level: Level;
  /** Plain text in one line. */
  message: string;
  title: string;
  body: string;
  url: string;
  image: string;
  actions: Action[];
  actor: { name: string } | null;
  /** How many events were collapsed into this row. */
  count: number;
  /** ISO 8601, as all times. */
  created_at: string;
  arrived_at: string;
  seen: boolean;
  read: boolean;
  archived: boolean;
  pinned: boolean;
  snoozed_until: string | null;
  expires_at: string | null;
}

export interface Toast {
  message: string;
  title: string;
  body: string;
  level: Level;
  url: string;
}

export interface Status {
  /** "stopped" is final: signed out, refused, or too many connections (see `code`). */
  state: "connecting" | "live" | "offline" | "stopped";
  transport: "websocket" | "sse" | "polling" | null;
  /** The close code that ended the connection, if there was one. */
  code: number | null;
}

export interface Options {
  /** Base of the JSON endpoints, with a slash at its end. */
  api: string;
  /** WebSocket path or URL. */
  socket?: string;
  /** URL of the server-sent events. */
  stream?: string;
  /** "epoch.version" of the inbox, read before the page's data; absent: live from now on. */
  inbox?: string;
  /** The same of the announcements. */
  public?: string;
  /** Counts at the inbox's position. */
  unread?: number | string;
  unseen?: number | string;
  /** A short-lived ticket; needed where the socket is on another origin. */
  ticket?: string;
  /** Tabs with the same key share one socket. It must differ between users. */
  key?: string;
  /** A visitor without an inbox: the public stream only, marks stay on this screen. */
  anonymous?: boolean;
  /** The CSRF token of the moment. */
  csrf?: () => string;
  /** Default "X-CSRFToken". */
  csrfHeader?: string;
  /** Which to try, in this order. */
  transports?: ("websocket" | "sse" | "polling")[];
}

export interface Listing {
  items: Item[];
  loaded: boolean;
  loading: boolean;
  /** Whether `load()` would fetch something. */
  more: boolean;
}

export interface Change {
  version: number;
  counts: Counts;
  changed: number;
}

export interface InboxEvents {
  /** Items or counts changed: draw again. */
  change: CustomEvent<undefined>;
  /** `inbox.status` changed. */
  status: CustomEvent<undefined>;
  /** New on this screen; `previous` is set when a collapsed row moved up. */
  arrived: CustomEvent<{ items: { item: Item; previous?: Item }[] }>;
  /** A message that is never stored. */
  toast: CustomEvent<Toast>;
}

export interface Inbox extends EventTarget {
  readonly status: Status;
  /** What the badge shows, own marks on their way included. */
  readonly counts: Counts;
  /** Connect, or follow the tab that is connected. */
  start(): void;
  /** Disconnect; another tab takes over. `start()` goes on from where this was. */
  stop(): void;
  list(filter?: Filter): Listing;
  /** Fetch the first page of a filter, or the next one. Rejects with InboxError. */
  load(filter?: Filter): Promise<void>;
  /** Changes the screen at once, then the server; undone on the screen if that fails.
   *  `until` is an ISO time, for "snoozed". Rejects with InboxError. */
  mark(as: State, ids: Iterable<number | string>, until?: string): Promise<Change>;
  /** Marks all that this screen knows to exist, and nothing that arrives meanwhile. */
  markAll(as?: "read" | "seen"): Promise<Change | undefined>;
  /** Takes a mark back. */
  undo(as: State, ids: Iterable<number | string>): Promise<Change>;
  /** Posts to an action's URL on this site, then marks the item read. */
  act(item: Item, url: string): Promise<void>;
  addEventListener<K extends keyof InboxEvents>(
    type: K,
    listener: (event: InboxEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** What the promises above reject with. */
export interface InboxError extends Error {
  /** HTTP status; 0 when the server was not reached. */
  readonly status: number;
}

export function createInbox(options: Options): Inbox;
/** The address if a link may carry it (http, https or relative), else "". */
export function safeUrl(url: string): string;
/** Order of a list: pinned first, then the newest arrival, then the highest id. */
export function compare(a: Item, b: Item): number;
