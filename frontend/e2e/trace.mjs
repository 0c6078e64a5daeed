// What 30 messages a second for each of two files cost the page: a trace of ten seconds in Chromium.
// Run: BASE_URL=http://127.0.0.1:3000 node trace.mjs
import { drive } from './chromium.mjs';
import { stage } from './stage.mjs';

const UPLOAD = { seconds: 10, perSecond: 30 };

/** The renderer's main thread while the upload ran: its longest task in ms, and the share of the time in which it had
 * one, and in which one had a CPU too. */
function tasksOf(trace) {
  const events = JSON.parse(trace).traceEvents;
  const mark = (name) => events.find((event) => event.name === name && event.cat.includes('blink.user_timing'));
  const [begin, end] = [mark('upload-begin'), mark('upload-end')];
  const isMain = (event) => event.pid === begin.pid && event.tid === begin.tid;
  const tasks = events.filter((event) => isMain(event) && event.name === 'RunTask' && event.ph === 'X' && event.ts >= begin.ts && event.ts < end.ts);
  const sum = (field) => tasks.reduce((total, event) => total + (event[field] ?? 0), 0) / (end.ts - begin.ts);
  return { longest: Math.max(...tasks.map(({ dur }) => dur)) / 1000, busy: sum('dur'), computing: sum('tdur') };
}

function upload(page) {
  return page.evaluate(async (options) => {
    performance.mark('upload-begin');
    await window.playUpload(options);
    performance.mark('upload-end');
  }, UPLOAD);
}

/** From each message to the first task after the frame that shows its bytes, or later ones. */
function timeMessages() {
  window.delays = [];
  const waiting = [];
  const Base = window.WebSocket;
  window.WebSocket = class extends Base {
    constructor(url) {
      super(url);
      this.addEventListener('message', ({ data }) => waiting.push({ told: performance.now(), ...JSON.parse(data) }));
    }
  };
  const look = () => {
    const isShown = ({ file_type: type, received, sent, stored }) => {
      const { dataset } = document.querySelector(`.card[data-file-type="${type}"] .bars`);
      return Number(dataset.received) >= received && Number(dataset.sent) >= sent && Number(dataset.stored) >= stored;
    };
    const shown = waiting.filter(isShown);
    for (const message of shown) waiting.splice(waiting.indexOf(message), 1);
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => window.delays.push(...shown.map(({ told }) => performance.now() - told));
      port2.postMessage(null);
    });
  };
  document.addEventListener('DOMContentLoaded', () => {
    const changes = { attributes: true, attributeFilter: ['data-received', 'data-sent', 'data-stored'], subtree: true };
    new MutationObserver(look).observe(document.querySelector('.cards'), changes);
  });
}

/** What playing the messages costs by itself: nobody hears them. */
function deafen() {
  const tell = EventTarget.prototype.dispatchEvent;
  EventTarget.prototype.dispatchEvent = function dispatchEvent(event) {
    return ['message', 'progress'].includes(event.type) || tell.call(this, event);
  };
}

async function traced(browser, prepare) {
  const page = await stage(browser, '/');
  await page.waitForSelector('main[data-awake]');
  await page.evaluate(prepare);
  // Only what is looked at: each kind of event that is traced costs the main thread more.
  await browser.startTracing(page, { categories: ['disabled-by-default-devtools.timeline', 'blink.user_timing'] });
  await upload(page);
  const tasks = tasksOf(await browser.stopTracing());
  await page.context().close();
  return tasks;
}

const share = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
const say = (what, value, unit, goal) => console.log(`${what}: ${value.toFixed(1)} ${unit} (goal: ${goal})`);

await drive(async (browser) => {
  // Each figure of a run of its own: looking at the frames costs some of them.
  const { longest, busy, computing } = await traced(browser, () => {});
  const player = await traced(browser, deafen);
  say('main thread busy', 100 * busy, '%', 'none');
  say('of it playing the messages', 100 * player.busy, '%', 'none');
  say('of it the page', 100 * (busy - player.busy), '%', 'below 10 %');
  say('main thread busy, without waiting for a CPU', 100 * computing, '%', 'none');
  say('longest task', longest, 'ms', 'at most 50 ms');

  const timed = await stage(browser, 'about:blank');
  await timed.addInitScript(timeMessages);
  await timed.goto('/');
  await timed.waitForSelector('main[data-awake]');
  await upload(timed);
  const delays = (await timed.evaluate(() => window.delays)).sort((a, b) => a - b);
  say('message to paint, p50', share(delays, 0.5), 'ms', 'none');
  say('message to paint, p99', share(delays, 0.99), 'ms', 'at most 50 ms');
  console.log(`${delays.length} messages`);
});
