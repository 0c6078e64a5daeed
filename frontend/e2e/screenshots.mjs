// Pictures of the page's states, light and dark, narrow and wide.
//
//   BASE_URL=http://127.0.0.1:3000 node screenshots.mjs FOLDER
//
// The browser is slowed while it uploads, so that "uploading" is met against any store.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Files, button, card, launch, open, state } from './chromium.mjs';

const folder = process.argv[2] ?? 'screenshots';
mkdirSync(folder, { recursive: true });
const browser = await launch();
const files = new Files();

async function states(scheme, width) {
  const page = await open(browser, { colorScheme: scheme, viewport: { width, height: 800 } });
  const shot = (name) => page.screenshot({ path: join(folder, `${name}-${scheme}-${width}.png`), fullPage: true });
  const pdf = files.pdf('annual-report-2026-final.pdf', 24_000_000);
  const jpeg = await files.jpeg(page, 'site-photo.jpg', 3_100_000);

  await shot('idle');
  await page.setInputFiles('#docs_field', files.raw('notes.doc', 'old'));
  await page.setInputFiles('#msa_imgs', jpeg);
  await shot('refused');
  await page.setInputFiles('#docs_field', pdf);
  await shot('chosen');
  const devtools = await page.context().newCDPSession(page);
  const limit = (uploadThroughput) => devtools.send('Network.emulateNetworkConditions', {
    offline: false, latency: 0, downloadThroughput: -1, uploadThroughput,
  });
  await limit(6_000_000);
  await button(page).click();
  // Far enough that stored, sent and empty parts are seen side by side.
  await page.waitForSelector('[data-file-type="docs_file"] .part[data-state="stored"] ~ .part[data-state="empty"]');
  await shot('uploading');
  await limit(-1);
  await state(page, 'docs_file', 'stored');
  await state(page, 'msa_imgs', 'stored');
  await card(page, 'docs_file').locator('.key code').waitFor();
  await shot('stored');

  await button(page).click();
  // Named .pdf and no PDF: the server's refusal, in the card it belongs to.
  await page.setInputFiles('#docs_field', files.raw('fail.pdf', Buffer.alloc(4_000_000, 1)));
  await page.setInputFiles('#msa_imgs', jpeg);
  await button(page).click();
  await state(page, 'docs_file', 'failed');
  await shot('failed');
  await page.context().close();
}

try {
  for (const scheme of ['light', 'dark']) {
    for (const width of [360, 1280]) await states(scheme, width);
  }
} finally {
  files.end();
  await browser.close();
}
