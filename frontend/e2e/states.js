// Every state of the page without a server: recorded messages (recorded.js) are played to the real page, in place of
// its socket and its POST. A plain script: the tests inject it, and debug builds serve it as /dev/states.js.
//
//   showState(name, { live })   resolves when the page shows the state, and stands still; `live` lets its timers run
//   /?state=NAME                does so by itself
//   finish()                    plays the rest of what a state has begun, and its answer
//   playUpload({ seconds, perSecond })   a made-up upload of both files in real time
(() => {
  'use strict';

  const FIELDS = { docs_field: 'docs_file', msa_imgs: 'msa_imgs' };
  const is = (status) => (message) => message.status === status;
  const ofDocument = (test) => (message) => message.file_type === 'docs_file' && test(message);
  const LONG = `${'n'.repeat(196)}.pdf`;
  const HEBREW = '\u05d3\u05d5\u05d7 \u05e9\u05e0\u05ea\u05d9 \u05e1\u05d5\u05e4\u05d9 2026.pdf';

  /**
   * `recording` and `until`: what is played, and the message it stops at (none: to its end, with the answer).
   * `shows`: what a card's `data-state` must be in the end; the others are as they come.
   * `name`: of the document, instead of the recorded one. `press`: the button, once more, at the end.
   * `socket: false`: it does not open; `broken`: it closes and the POST dies; `left`: bytes that left the browser.
   * `dragged`: types of files over the page; `lang`: the page's language; `open`: the details.
   * `seen`: what must be there besides, as a selector.
   */
  const STATES = {
    idle: { shows: { docs_file: 'empty', msa_imgs: 'empty' } },
    chosen: { recording: 'both', isSent: false, shows: { docs_file: 'chosen', msa_imgs: 'chosen' } },
    refused: {
      files: [{ field: 'docs_field', name: 'notes.doc', size: 40_000 }, { field: 'msa_imgs', name: 'site-photo.heic', size: 40_000 }],
      isSent: false,
      shows: { docs_file: 'refused', msa_imgs: 'refused' },
    },
    connecting: { recording: 'both', until: () => true, isSilent: true, shows: { docs_file: 'running' } },
    receiving: { recording: 'both', until: ofDocument(({ received, sent }) => received > 0 && sent === 0), shows: { docs_file: 'running' } },
    storing: { recording: 'both', until: ofDocument(({ parts_stored: stored }) => stored === 2), shows: { docs_file: 'running' } },
    'many-parts': { made: { sizes: [1_112_000_000, 3_100_000] }, until: ofDocument(({ parts_stored: stored }) => stored === 37), shows: { docs_file: 'running' } },
    'single-part': { recording: 'image', until: ({ progress }) => progress >= 40, shows: { docs_file: 'empty', msa_imgs: 'running' } },
    'received-all': { recording: 'both', until: ofDocument(({ status, parts_stored: stored }) => status === 'processing' && stored >= 3), shows: { docs_file: 'running' } },
    finishing: { recording: 'both', until: ofDocument(({ sent, total, waiting }) => sent === total && !waiting), shows: { docs_file: 'running' } },
    stored: { recording: 'both', shows: { docs_file: 'stored', msa_imgs: 'stored' } },
    'one-failed': { recording: 'one_failed', shows: { docs_file: 'stored', msa_imgs: 'failed' } },
    'waiting-client': { recording: 'eventful', until: ({ waiting }) => waiting === 'client', shows: { docs_file: 'waiting' } },
    'waiting-storage': { recording: 'eventful', until: ({ waiting }) => waiting === 'storage', shows: { docs_file: 'waiting' } },
    retrying: { recording: 'eventful', until: ({ part_states: states }) => /4/.test(states), shows: { docs_file: 'running' } },
    cancelling: { recording: 'cancelled', until: ({ received }) => received > 2_000_000, press: true, shows: { docs_file: 'running' } },
    cancelled: { recording: 'cancelled', shows: { docs_file: 'cancelled', msa_imgs: 'cancelled' } },
    'type-mismatch': { recording: 'type_mismatch', shows: { docs_file: 'failed', msa_imgs: 'failed' } },
    'too-large': { recording: 'too_large', shows: { docs_file: 'failed' } },
    'storage-unreachable': { recording: 'storage_unreachable', shows: { docs_file: 'failed' } },
    'storage-config': { recording: 'storage_config', shows: { docs_file: 'failed' } },
    integrity: { recording: 'integrity', shows: { msa_imgs: 'failed' } },
    'client-gone': { recording: 'client_gone', shows: { docs_file: 'failed', msa_imgs: 'failed' } },
    busy: { recording: 'busy', shows: { docs_file: 'failed' } },
    'rate-limited': { recording: 'rate_limited', shows: { docs_file: 'failed' } },
    'server-shutdown': { recording: 'server_shutdown', shows: { docs_file: 'failed' } },
    'unknown-outcome': { recording: 'unknown', shows: { docs_file: 'failed' } },
    offline: { recording: 'client_gone', until: ofDocument(({ parts_stored: stored }) => stored === 1), isOffline: true, shows: { docs_file: 'failed', msa_imgs: 'failed' } },
    'no-live-progress': { recording: 'both', until: () => true, isSilent: true, socket: false, left: 9_000_000, shows: { docs_file: 'running' } },
    'connection-lost': { recording: 'client_gone', until: ofDocument(({ parts_stored: stored }) => stored === 1), broken: true, shows: { docs_file: 'failed', msa_imgs: 'failed' } },
    'long-name': { recording: 'both', until: ofDocument(({ parts_stored: stored }) => stored === 2), name: LONG, shows: { docs_file: 'running' } },
    'long-name-refused': { files: [{ field: 'docs_field', name: `${LONG}x`, size: 40_000 }], isSent: false, shows: { docs_file: 'refused' } },
    'long-name-stored': { recording: 'both', name: LONG, shows: { docs_file: 'stored' } },
    'held-back': { recording: 'both', until: ofDocument(({ received, sent }) => received > 0 && sent === 0), left: 26_000_000, shows: { docs_file: 'running' }, seen: '.note:not([hidden])' },
    unheard: { recording: 'both', until: () => true, isSilent: true, left: 9_000_000, shows: { docs_file: 'running' }, seen: '.note:not([hidden])' },
    'asking-to-cancel': { recording: 'both', until: ofDocument(({ parts_stored: stored }) => stored === 2), press: true, shows: { docs_file: 'running' }, seen: '.confirm:not([hidden]) :focus' },
    'details-open': { recording: 'eventful', until: ({ part_states: states }) => /4/.test(states), open: true, shows: { docs_file: 'running' }, seen: '.report:not(:empty)' },
    dragging: { dragged: ['image/jpeg'], shows: { docs_file: 'empty', msa_imgs: 'empty' }, seen: '[data-file-type="msa_imgs"][data-hovered]' },
    arabic: { lang: 'ar', recording: 'both', until: ofDocument(({ parts_stored: stored }) => stored === 2), shows: { docs_file: 'running' }, seen: 'html[dir="rtl"]' },
    'arabic-failed': { lang: 'ar', recording: 'one_failed', shows: { docs_file: 'stored', msa_imgs: 'failed' }, seen: 'html[dir="rtl"]' },
    'rtl-name': { recording: 'both', until: ofDocument(({ parts_stored: stored }) => stored === 2), name: HEBREW, shows: { docs_file: 'running' } },
  };

  const isMine = (method, url) => (method === 'POST' && /(^|\/)upload(\?|$)/.test(url)) || /(^|\/)uploads\/[^/]+$/.test(url);
  const RealRequest = window.XMLHttpRequest;
  const later = window.setTimeout.bind(window);

  let socket = null;
  let post = null;
  let isDown = false;
  let isStill = false;
  let onCancel = () => {};
  let finish = () => {};

  /** What the page waits for does not come once it stands still; what others begin then does. */
  for (const name of ['setTimeout', 'setInterval']) {
    const real = window[name].bind(window);
    window[name] = (work, ...rest) => {
      const wasStill = isStill;
      return real((...values) => (isStill && !wasStill ? undefined : work(...values)), ...rest);
    };
  }

  class Socket extends EventTarget {
    binaryType = 'blob';
    readyState = 0;
    bufferedAmount = 0;
    extensions = '';
    protocol = '';

    constructor(url) {
      super();
      this.url = url;
      socket = this;
      later(() => (isDown ? this.drop() : this.tell('open')));
    }

    tell(name, details = {}) {
      if (name === 'open') this.readyState = 1;
      if (name === 'close') this.readyState = 3;
      const Kind = { message: MessageEvent, close: CloseEvent }[name] ?? Event;
      const event = new Kind(name, details);
      this[`on${name}`]?.(event);
      this.dispatchEvent(event);
    }

    say(message) {
      if (this.readyState === 1) this.tell('message', { data: JSON.stringify(message) });
    }

    drop() {
      if (this.readyState === 3) return;
      this.readyState = 3;
      this.tell('error');
      this.tell('close', { code: 1006 });
    }

    send(text) {
      if (/"cancel"/.test(text)) onCancel();
    }

    close() {
      if (this.readyState < 2) later(() => this.readyState < 3 && this.tell('close', { code: 1005, wasClean: true }));
      this.readyState = 2;
    }
  }
  Object.assign(Socket, { CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });

  /** A real one that is never sent if it is about an upload. */
  class Request extends RealRequest {
    #ours = false;
    #method = '';
    #answer = null;

    open(method, url, ...rest) {
      this.#ours = isMine(method, url);
      this.#method = method;
      super.open(method, url, ...rest);
    }

    send(body) {
      if (!this.#ours) return super.send(body);
      if (this.#method === 'POST') {
        post = this;
        later(() => this.dispatchEvent(new ProgressEvent('loadstart')));
      } else {
        if (this.#method === 'DELETE') onCancel();
        later(() => this.end({ status: this.#method === 'DELETE' ? 202 : 404, body: '' }));
      }
      return undefined;
    }

    progress(loaded, total) {
      this.upload.dispatchEvent(new ProgressEvent('progress', { lengthComputable: true, loaded, total }));
    }

    /** Without an answer: the connection broke. */
    end(answer) {
      this.#answer = answer ?? { status: 0, body: '' };
      for (const name of [answer ? 'load' : 'error', 'loadend']) this.dispatchEvent(new ProgressEvent(name));
    }

    abort() {
      if (!this.#ours) return super.abort();
      if (!this.#answer) {
        this.#answer = { status: 0, body: '' };
        for (const name of ['abort', 'loadend']) this.dispatchEvent(new ProgressEvent(name));
      }
      return undefined;
    }

    get readyState() {
      return this.#ours && this.#answer ? 4 : super.readyState;
    }

    get status() {
      return this.#ours ? (this.#answer?.status ?? 0) : super.status;
    }

    get responseText() {
      if (!this.#ours) return super.responseText;
      return this.#answer?.body ? JSON.stringify(this.#answer.body) : '';
    }

    get response() {
      return this.#ours ? this.responseText : super.response;
    }

    getResponseHeader(name) {
      if (!this.#ours) return super.getResponseHeader(name);
      return name.toLowerCase() === 'retry-after' ? (this.#answer?.retryAfter ?? null) : null;
    }
  }

  /** The messages of both files as a server with a slow store would send them, at an even pace. */
  function* made({ seconds = 10, perSecond = 30, sizes = [24_100_000, 3_100_000] }) {
    const whole = 5 * 1024 * 1024;
    const files = Object.values(FIELDS).map((type, place) => {
      const total = sizes[place];
      return { type, total, size: total < whole ? total : whole, parts: total < whole ? 1 : Math.ceil(total / whole), received: 0, isOver: false };
    });
    const form = sizes[0] + sizes[1];
    const steps = seconds * perSecond;
    const told = {};
    for (let step = 1; step <= steps; step += 1) {
      const done = step / steps;
      for (const file of files) {
        // One form: the image comes behind the document, and the store is four times as slow as the browser.
        const read = Math.floor(Math.min(1, done * 4) * form) - (file.type === 'docs_file' ? 0 : sizes[0]);
        const received = Math.max(0, Math.min(file.total, read));
        if (received === 0) continue;
        const sent = Math.min(received, Math.floor(file.total * Math.min(1, done * 1.02)));
        const answered = Math.floor(file.total * Math.max(0, done - 0.03));
        const ends = (part) => Math.min(file.total, part * file.size);
        const stateOf = (part) => {
          if (ends(part) <= answered) return '3';
          if (ends(part) <= sent) return '2';
          return (part - 1) * file.size < sent ? '1' : '0';
        };
        const isOver = step === steps;
        const states = Array.from({ length: file.parts }, (_, place) => (isOver ? '3' : stateOf(place + 1))).join('');
        // Nothing new, no message.
        const news = [received, sent, states].join();
        if (told[file.type] === news) continue;
        told[file.type] = news;
        const active = [...states].flatMap((digit, place) => (/[12]/.test(digit) ? [{ part: place + 1, sent: Math.min(ends(place + 1), sent) - place * file.size, attempt: 1 }] : []));
        const stored = [...states].filter((digit) => digit === '3').length;
        const lowest = states.search(/[^3]/) + 1;
        const where = file.parts === 1 ? '' : [0, file.parts].includes(lowest) ? 'final part ' : `part ${lowest} `;
        const status = isOver ? 'completed' : received === file.total ? 'processing' : 'buffering';
        const at = Math.floor((step * 1000) / perSecond);
        yield [at, {
          file_type: file.type,
          status,
          progress: isOver ? 100 : Math.min(99, Math.floor((100 * sent) / file.total)),
          message: { completed: 'Completed!', buffering: 'Buffering data', processing: `Processing ${where}buffered data` }[status],
          upload_id: 'AAAAAAAAAAAAAAAAAAAAAA',
          seq: step,
          received,
          sent: isOver ? file.total : sent,
          stored: ends(stored),
          total: file.total,
          part_size: file.size,
          parts: file.parts,
          parts_stored: stored,
          part_states: file.parts > 40 ? null : states,
          active: active.slice(0, 8),
          waiting: null,
          retries: 0,
          at_ms: at,
        }];
      }
    }
  }

  function madeRecording(options) {
    const sizes = options.sizes ?? [24_100_000, 3_100_000];
    const names = ['annual-report-2026-final.pdf', 'site-photo.jpg'];
    const keys = [`supporting_documents/docs_file${'0f'.repeat(32)}.pdf`, `photos/msa_imgs${'1e'.repeat(32)}.jpg`];
    const messages = [...made(options)];
    return {
      files: Object.keys(FIELDS).map((field, place) => ({ field, name: names[place], size: sizes[place] })),
      messages,
      answer: {
        at: messages.at(-1)[0],
        status: 200,
        body: {
          upload_id: 'AAAAAAAAAAAAAAAAAAAAAA',
          files: Object.keys(FIELDS).map((field, place) => ({ field, outcome: 'stored', key: keys[place], size: sizes[place] })),
        },
      },
    };
  }

  /** A photo, for its thumbnail. */
  async function photo() {
    const canvas = document.createElement('canvas');
    Object.assign(canvas, { width: 96, height: 96 });
    const context = canvas.getContext('2d');
    for (const [colour, top] of [['#7fa9d8', 0], ['#f2c48d', 48], ['#2d5a46', 62]]) {
      context.fillStyle = colour;
      context.fillRect(0, top, 96, 96);
    }
    return new Promise((resolve) => canvas.toBlob(resolve, 'image/jpeg'));
  }

  /** Of one block many times over: a gigabyte costs no memory. */
  function padded(start, size) {
    const block = new Blob([new Uint8Array(64 * 1024)]);
    const rest = Math.max(0, size - start.size);
    const blocks = Array(Math.floor(rest / block.size)).fill(block);
    return [start, ...blocks, new Uint8Array(rest % block.size)];
  }

  async function choose({ field, name, size }) {
    const isImage = field === 'msa_imgs';
    const start = isImage ? await photo() : new Blob(['%PDF-1.7\n']);
    const transfer = new DataTransfer();
    transfer.items.add(new File(padded(start, size), name, { type: isImage ? 'image/jpeg' : 'application/pdf' }));
    const input = document.getElementById(field);
    input.files = transfer.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }

  const sleep = (ms) => new Promise((resolve) => { later(resolve, ms); });
  // Not by a frame: a page that is not seen has none.
  const settled = () => sleep(50);

  async function until(test, what) {
    for (let tries = 0; !test(); tries += 1) {
      if (tries === 400) throw new Error(`not reached: ${what}`);
      await sleep(25);
    }
  }

  const button = () => document.querySelector('form .primary');
  const card = (type) => document.querySelector(`.card[data-file-type="${type}"]`);

  /** Plays messages in their order; without a speed, as fast as the page takes them. */
  async function play(messages, whole, speed, last = () => false) {
    const began = performance.now();
    for (const [at, message] of messages) {
      if (speed) {
        // Two messages are two tasks, also at one moment.
        await sleep(Math.max(0, at / speed - (performance.now() - began)));
      }
      const sum = message.file_type === 'docs_file' ? message.received : whole - message.total + message.received;
      post?.progress(sum, whole);
      socket?.say(message);
      if (last(message)) return message;
    }
    return undefined;
  }

  async function press() {
    const before = post;
    await until(() => socket?.readyState === 1 || isDown, 'an open socket');
    button().click();
    await until(() => post !== before, 'the POST');
  }

  function goOffline() {
    Object.defineProperty(navigator, 'onLine', { configurable: true, get: () => false });
    window.dispatchEvent(new Event('offline'));
  }

  function fall() {
    isDown = true;
    socket?.drop();
    post?.end();
  }

  function drag(types) {
    const dataTransfer = new DataTransfer();
    for (const type of types) dataTransfer.items.add(new File(['.'], 'dragged', { type }));
    document.body.dispatchEvent(new DragEvent('dragover', { bubbles: true, cancelable: true, dataTransfer }));
  }

  async function showState(name, { live = false, speed } = {}) {
    const state = STATES[name];
    if (!state) throw new Error(`${name} is no state: there are ${Object.keys(STATES).join(', ')}`);
    await until(() => document.querySelector('main[data-awake]'), 'a page that is awake');
    isDown = state.socket === false;
    if (isDown) socket?.drop();
    const { files, messages, answer } = state.made ? madeRecording(state.made) : (window.recordings[state.recording] ?? state);
    for (const file of files ?? []) await choose({ ...file, name: (file.field === 'docs_field' && state.name) || file.name });
    await settled();
    if (messages && state.isSent !== false) {
      await press();
      const whole = files.reduce((sum, { size }) => sum + size, 0);
      const told = state.isSilent ? [] : messages;
      const last = await play(told, whole, speed, state.until);
      if (state.until && !state.isSilent && !last) throw new Error(`${name}: its recording has no such message`);
      finish = async () => {
        await play(messages, whole);
        post.end(answer);
      };
      if (!state.until) post.end(answer);
      if (state.left) post.progress(state.left, whole);
      if (state.isOffline) goOffline();
      if (state.broken) fall();
      if (state.press) {
        // A second press right after the first is a double click.
        await sleep(600);
        button().click();
      }
    }
    if (state.open) document.querySelector('summary').click();
    if (state.dragged) drag(state.dragged);
    for (const [type, shown] of Object.entries(state.shows)) {
      await until(() => card(type).dataset.state === shown, `${name}: ${type} is ${card(type).dataset.state}, not ${shown}`);
    }
    if (state.seen) await until(() => document.querySelector(state.seen), `${name}: ${state.seen}`);
    await settled();
    isStill = !live;
    document.documentElement.dataset.shown = name;
  }

  /** An upload of both files that never was, in real time. */
  async function playUpload(options = {}) {
    await until(() => document.querySelector('main[data-awake]'), 'a page that is awake');
    const { files, messages, answer } = madeRecording(options);
    for (const file of files) await choose(file);
    await press();
    await play(messages, files.reduce((sum, { size }) => sum + size, 0), 1);
    post.end(answer);
  }

  window.WebSocket = Socket;
  window.XMLHttpRequest = Request;
  Object.assign(window, { showState, playUpload, finish: () => finish(), states: Object.keys(STATES) });

  const wanted = new URLSearchParams(location.search).get('state');
  // What a state leaves to be remembered is not for the next one in the same tab, or in the same frames.
  if (wanted) Object.defineProperty(window, 'sessionStorage', { value: null });
  if (window.parent !== window) {
    // Among others a state must not scroll itself into view.
    const { focus } = HTMLElement.prototype;
    HTMLElement.prototype.focus = function focusInPlace() {
      focus.call(this, { preventScroll: true });
    };
  }
  document.addEventListener('readystatechange', () => {
    if (document.readyState !== 'interactive') return;
    // A service that takes a gigabyte, for the state with more parts than the lane can tell apart.
    if (wanted === 'many-parts') document.body.dataset.maxDocument = 2 ** 31;
    const lang = STATES[wanted]?.lang;
    if (lang && document.documentElement.lang !== lang) {
      location.replace(`?state=${wanted}&lang=${lang}`);
      return;
    }
    if (wanted) showState(wanted).catch((error) => { document.title = error.message; throw error; });
  });
})();
