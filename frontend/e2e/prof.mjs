import { drive } from './chromium.mjs';
import { stage } from './stage.mjs';
import { writeFileSync } from 'node:fs';
await drive(async (browser) => {
  const page = await stage(browser, '/');
  await page.waitForSelector('main[data-awake]');
  await browser.startTracing(page, { categories: ['disabled-by-default-devtools.timeline', 'devtools.timeline', 'blink.user_timing', 'v8'] });
  await page.evaluate(async () => { performance.mark('upload-begin'); await window.playUpload({ seconds: 6, perSecond: 30 }); performance.mark('upload-end'); });
  const events = JSON.parse(await browser.stopTracing()).traceEvents;
  const mark = (name) => events.find((event) => event.name === name && event.cat.includes('blink.user_timing'));
  const [begin, end] = [mark('upload-begin'), mark('upload-end')];
  const d = {};
  for (const e of events) if (e.pid === begin.pid && e.tid === begin.tid && e.ph === 'X' && e.ts >= begin.ts && e.ts < end.ts) { const x = d[e.name] ??= [0, 0, 0]; x[0]++; x[1] += e.tdur ?? 0; x[2] += e.dur; }
  const T = end.ts - begin.ts;
  for (const [n, [c, t, u]] of Object.entries(d).sort((a, b) => b[1][1] - a[1][1]).slice(0, 22)) console.log(n.padEnd(34), c, 'cpu', (100 * t / T).toFixed(2) + '%', 'wall', (100 * u / T).toFixed(2) + '%');
});
