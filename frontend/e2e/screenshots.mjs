// Pictures of the page's states, light and dark, narrow and wide.
//
//   BASE_URL=http://127.0.0.1:3000 node screenshots.mjs FOLDER
//
// The browser is slowed while it uploads, so that "uploading" is met against any store.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { BASE_URL, button, card, drive, line, open, state, throttle } from './chromium.mjs';

const folder = process.argv[2] ?? 'screenshots';
mkdirSync(folder, { recursive: true });

async function states(browser, files, scheme, width) {
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
  await throttle(page, 6_000_000);
  await button(page).click();
  // Far enough that stored, sent and empty parts are seen side by side.
  await page.waitForSelector('[data-file-type="docs_file"] .part[data-state="stored"] ~ .part[data-state="empty"]');
  await shot('uploading');
  await throttle(page, -1);
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

/** The network goes in the middle of an upload: Chromium's own "offline" would let it go on at full speed. */
async function offline(browser, files, scheme, width) {
  const way = await line();
  const page = await open(browser, { baseURL: way.url, colorScheme: scheme, viewport: { width, height: 800 } });
  await page.setInputFiles('#docs_field', files.pdf('annual-report-2026-final.pdf', 24_000_000));
  await throttle(page, 4_000_000);
  await button(page).click();
  await page.waitForSelector('[data-file-type="docs_file"] .part[data-state="stored"]');
  way.stop();
  await page.context().setOffline(true);
  await state(page, 'docs_file', 'failed');
  await page.screenshot({ path: join(folder, `offline-${scheme}-${width}.png`), fullPage: true });
  await page.context().close();
  way.end();
}

/** No socket: the browser's own count. */
async function blind(browser, files, scheme, width) {
  const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 800 } });
  await context.routeWebSocket(/\/ws/, (socket) => socket.close());
  const page = await context.newPage();
  await page.goto(BASE_URL);
  await page.waitForSelector('main[data-awake]');
  await page.setInputFiles('#docs_field', files.pdf('annual-report-2026-final.pdf', 24_000_000));
  await page.setInputFiles('#msa_imgs', await files.jpeg(page, 'site-photo.jpg', 3_100_000));
  await throttle(page, 4_000_000);
  await button(page).click();
  await page.waitForFunction(() => Number(document.querySelector('.bars').dataset.left) > 8_000_000);
  await page.screenshot({ path: join(folder, `no-live-progress-${scheme}-${width}.png`), fullPage: true });
  await context.close();
}

await drive(async (browser, files) => {
  for (const scheme of ['light', 'dark']) {
    for (const width of [360, 1280]) {
      for (const picture of [states, offline, blind]) await picture(browser, files, scheme, width);
    }
  }
});
