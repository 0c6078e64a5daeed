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

/** From each message to the first task after the frame that follows it. */
function timeMessages() {
  window.delays = [];
  const Base = window.WebSocket;
  window.WebSocket = class extends Base {
    constructor(url) {
      super(url);
      this.addEventListener('message', () => {
        const told = performance.now();
        requestAnimationFrame(() => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = () => window.delays.push(performance.now() - told);
          port2.postMessage(null);
        });
      });
    }
  };
}

const share = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
const say = (what, value, unit, goal) => console.log(`${what}: ${value.toFixed(1)} ${unit} (goal: ${goal})`);

await drive(async (browser) => {
  // Two runs: looking at the frames costs some of them.
  const page = await stage(browser, '/');
  await page.waitForSelector('main[data-awake]');
  await browser.startTracing(page, { categories: ['disabled-by-default-devtools.timeline', 'devtools.timeline', 'blink.user_timing'] });
  await upload(page);
  const { longest, busy, computing } = tasksOf(await browser.stopTracing());
  say('main thread busy', 100 * busy, '%', 'below 10 %');
  say('main thread busy, without waiting for a CPU', 100 * computing, '%', 'none');
  say('longest task', longest, 'ms', 'at most 50 ms');
  await page.context().close();

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
