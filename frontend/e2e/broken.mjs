// A connection that dies in the middle of an upload: what the page says, where the focus goes, and that
// trying again stores the file.
// Run: node broken.mjs cut|dead|whole|offline|near PDF
import assert from 'node:assert/strict';
import { alerted, button, card, drive, headline, open, posts, retryFocused, state, step } from './chromium.mjs';

const [how, pdf] = process.argv.slice(2);
const goesOn = ['whole', 'near'].includes(how);

const ways = {
  /** Reset, and back before the page has given up: the server tells what became of it. */
  async cut(page) {
    // On a busy machine it may have given up by the time this looks.
    const noticed = page.locator('.note', { hasText: 'The connection broke.' }).or(page.locator('[data-state="failed"]'));
    await noticed.first().waitFor();
    await step('broken');
    await headline(page, 'docs_file', 'The connection broke before everything was sent.').waitFor();
    assert.equal(await card(page, 'docs_file').locator('.bars .detail').textContent(), 'Nothing was stored. Check your connection and try again.');
    await alerted(page, 'The connection broke before');
    await retryFocused(page, 'docs_field');
    await step('told');
  },

  /** Dead for longer than the page waits. */
  async dead(page) {
    await state(page, 'docs_file', 'failed');
    await alerted(page, 'The connection broke before the server confirmed the upload.');
    await retryFocused(page, 'docs_field');
    await step('given up');
    // The socket comes back by itself, and with it the news.
    await headline(page, 'docs_file', 'The connection broke before everything was sent.').waitFor();
  },

  /** The whole file is with the server when the connection dies. */
  async whole(page) {
    await page.locator('.summary', { hasText: 'you can leave this page now' }).waitFor();
    await step('whole');
    await page.locator('.note', { hasText: 'The connection broke.' }).waitFor();
    await step('broken');
  },

  /** Chromium itself says that there is no network. */
  async offline(page) {
    await state(page, 'docs_file', 'running');
    await step('in the middle');
    await page.context().setOffline(true);
    await state(page, 'docs_file', 'failed');
    assert.equal(await headline(page, 'docs_file').textContent(), 'You are offline.');
    await alerted(page, 'You are offline.');
    await retryFocused(page, 'docs_field');
    await step('offline');
    await page.context().setOffline(false);
    await headline(page, 'docs_file', 'The connection broke').waitFor();
  },

  /** The machine has no network, but this server needs none: only the browser's word for it, as Chromium's own offline
   * holds back what the socket says. */
  async near(page) {
    await state(page, 'docs_file', 'running');
    await step('in the middle');
    await page.evaluate(() => {
      Object.defineProperty(navigator, 'onLine', { get: () => false });
      window.dispatchEvent(new Event('offline'));
    });
    await state(page, 'docs_file', 'stored');
  },
};

/** Everything that an alert says from now on. */
function record(page) {
  return page.evaluate(() => {
    window.alerts = [];
    const alert = document.querySelector('[role=alert]');
    const listen = () => window.alerts.push(alert.textContent);
    new MutationObserver(listen).observe(alert, { childList: true, characterData: true, subtree: true });
  });
}

await drive(async (browser) => {
  const page = await open(browser);
  await record(page);
  const sent = posts(page);
  await page.setInputFiles('#docs_field', pdf);
  await step('ready');
  await button(page).click();
  await ways[how](page);
  if (!goesOn) {
    assert.equal(await page.title(), 'Failed – Upload');
    assert.equal((await page.evaluate(() => window.alerts)).length, 1, 'it is said once');
    // The focus is on it: a key is enough.
    await page.keyboard.press('Enter');
  }
  await state(page, 'docs_file', 'stored');
  assert.equal(sent.length, goesOn ? 1 : 2);
  assert.equal(await card(page, 'docs_file').locator('.retry').isVisible(), false);
});
