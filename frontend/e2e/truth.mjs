// Uploads two files in Chromium and prints every state that was painted, with its time.
// Run: node truth.mjs PDF JPEG
import { BASE_URL, button, drive } from './chromium.mjs';

const [pdf, jpeg] = process.argv.slice(2);

/** Runs in the page. */
function watch() {
  window.painted = [];
  const last = {};
  // Every change of the DOM is looked at as a whole: the bars of one message are replaced together.
  const look = () => {
    const at_ms = Date.now();
    for (const bars of document.querySelectorAll('[data-file-type] [data-received]')) {
      const { received, sent, stored, progress, status } = bars.dataset;
      if (!status) continue;
      const file_type = bars.closest('[data-file-type]').dataset.fileType;
      const state = [received, sent, stored, progress, status].join();
      if (last[file_type] === state) continue;
      last[file_type] = state;
      const numbers = { received: +received, sent: +sent, stored: +stored, progress: +progress };
      window.painted.push({ file_type, at_ms, status, ...numbers });
    }
  };
  new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
}

/** Runs in the page. */
function isOver() {
  const bars = [...document.querySelectorAll('[data-file-type] [data-received]')];
  return bars.length === 2 && bars.every((bar) => ['completed', 'error'].includes(bar.dataset.status));
}

await drive(async (browser) => {
  const page = await browser.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(`${message.text()} ${message.location().url}`);
  });
  await page.addInitScript(watch);
  await page.goto(BASE_URL);
  await page.waitForSelector('main[data-awake]');
  await page.setInputFiles('#docs_field', pdf);
  await page.setInputFiles('#msa_imgs', jpeg);
  await button(page).click();
  await page.waitForFunction(isOver, null, { timeout: 60_000, polling: 100 });
  const painted = await page.evaluate(() => window.painted);
  console.log(JSON.stringify({ painted, complaints }));
});
