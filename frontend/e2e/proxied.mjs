// All that the page does, through somebody's proxy and below whatever path that puts it.
// Run: node proxied.mjs URL PDF JPEG
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { button, card, drive, headline, open, reload, state, throttle } from './chromium.mjs';

const [url, pdf, jpeg] = process.argv.slice(2);
const { host, pathname: base, protocol } = new URL(url);
const SIZE = statSync(pdf).size;
const options = { baseURL: url, ignoreHTTPSErrors: true };

/** Runs in the page: keeps each length of the document's lane that was painted while the POST was still leaving. */
function watch() {
  window.moved = [];
  let isLeaving = false;
  const { send } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.send = function sending(body) {
    if (body instanceof FormData) {
      isLeaving = true;
      this.upload.addEventListener('load', () => (isLeaving = false));
    }
    return send.call(this, body);
  };
  const look = () => {
    const received = Number(document.querySelector('.card[data-file-type=docs_file] .bars')?.dataset.received ?? 0);
    if (isLeaving && received > (window.moved.at(-1) ?? 0)) window.moved.push(received);
  };
  new MutationObserver(look).observe(document, { attributes: true, childList: true, subtree: true });
}

async function uploads(browser) {
  const page = await open(browser, options);
  const [complaints, sockets] = [[], []];
  let heard = 0;
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('response', (answer) => answer.status() >= 400 && complaints.push(`${answer.status()} ${answer.url()}`));
  page.on('websocket', (socket) => {
    sockets.push(socket.url());
    socket.on('framereceived', () => (heard += 1));
  });
  await page.addInitScript(watch);
  await reload(page);
  await page.setInputFiles('#docs_field', pdf);
  await page.setInputFiles('#msa_imgs', jpeg);
  await throttle(page, SIZE / 3);
  await button(page).click();
  for (const type of ['docs_file', 'msa_imgs']) await state(page, type, 'stored');
  await throttle(page, -1);
  await card(page, 'docs_file').locator('.key code', { hasText: /^supporting_documents\// }).waitFor();

  const moved = await page.evaluate(() => window.moved);
  assert.ok(moved.length > 20 && moved.at(-1) > SIZE / 2, `the bar moves while the file leaves: ${moved}`);
  assert.ok(heard > moved.length / 2, 'by the socket');
  const beside = `${protocol.replace('http', 'ws')}//${host}${base}ws?client_id=`;
  assert.ok(sockets.every((socket) => socket.startsWith(beside)), sockets.join());
  const icon = await page.evaluate(async () => {
    const { href } = document.querySelector('link[rel=icon]');
    return [href, (await fetch(href)).status];
  });
  assert.deepEqual(icon, [new URL('favicon-stored.svg', url).href, 200]);

  await reload(page);
  await state(page, 'docs_file', 'stored');

  await page.goto('docs');
  const styles = () => [...document.styleSheets].map((sheet) => sheet.cssRules.length > 0);
  assert.deepEqual(await page.evaluate(styles), [true, true]);
  await page.locator('.brand a').click();
  await page.waitForSelector('main[data-awake]');
  assert.equal(page.url(), url);
  assert.deepEqual(complaints, []);
}

/** By the answer, or where a proxy loses that by the socket. */
async function refusal(browser, files) {
  const page = await open(browser, options);
  await page.setInputFiles('#docs_field', files.raw('fake.pdf', Buffer.alloc(24 * 2 ** 20, 1)));
  await button(page).click();
  await state(page, 'docs_file', 'failed');
  assert.match(await headline(page, 'docs_file').textContent(), /^The file's content is not of an accepted type/);
}

async function withoutScript(browser) {
  const page = await open(browser, { ...options, javaScriptEnabled: false });
  await page.goto('./?lang=ar');
  await page.setInputFiles('#docs_field', pdf);
  await page.setInputFiles('#msa_imgs', jpeg);
  const answered = page.waitForResponse((answer) => answer.request().method() === 'POST');
  await button(page).click();
  assert.equal((await answered).status(), 200);
  await page.waitForURL(new URL('upload?lang=ar', url).href);
  await page.locator('a.primary').click();
  await page.waitForURL(new URL('?lang=ar', url).href);
}

await drive(async (browser, files) => {
  await uploads(browser);
  await refusal(browser, files);
  await withoutScript(browser);
});
