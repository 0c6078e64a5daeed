// Files that were chosen a while before Upload is pressed: the session has ended since, or the file has changed.
// Run: node chosen_long_ago.mjs expired|refused|changed PDF
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { alerted, button, card, drive, open, state, step } from './chromium.mjs';
import { endsStored, painted, record } from './painted.mjs';

const [how, pdf] = process.argv.slice(2);

const ways = {
  /** The socket was closed with the session; by the press the page has another one. */
  async expired(page) {
    const first = await page.locator('body').getAttribute('data-client-id');
    await page.waitForEvent('websocket', (socket) => !socket.url().includes(first));
    await button(page).click();
    // Only the socket tells this.
    await page.locator('.summary', { hasText: 'you can leave this page now' }).waitFor();
    await step('told live');
    await endsStored(page);
  },

  /** Without a socket nobody says that the session has ended but the answer of the POST: then there is one at once. */
  async refused(page) {
    const answers = [];
    page.on('response', (answer) => answer.request().method() === 'POST' && answers.push(answer.status()));
    await page.context().clearCookies();
    // By itself the page will not try again.
    await page.waitForFunction(() => window.rests);
    await step('rests');
    await button(page).click();
    // Only the socket tells this.
    await page.locator('.summary', { hasText: 'you can leave this page now' }).waitFor();
    await step('told live');
    await endsStored(page);
    assert.deepEqual(answers, [403, 200]);
  },

  /** Another program has written to the file. */
  async changed(page) {
    const before = readFileSync(pdf);
    writeFileSync(pdf, before.subarray(0, before.length - 1));
    await button(page).click();
    const said = `“${basename(pdf)}” changed or was moved after you chose it.`;
    await state(page, 'docs_file', 'refused');
    const error = card(page, 'docs_file').locator('.error');
    assert.equal(await error.locator('.headline').textContent(), said);
    assert.equal(await error.locator('.detail').textContent(), 'Choose it again.');
    await alerted(page, said);
    await step('refused');
    await painted(page);
    writeFileSync(pdf, before);
    await page.setInputFiles('#docs_field', pdf);
    await button(page).click();
    await endsStored(page);
  },
};

/** Runs in the page: timers of more than a second, as between attempts to open a socket, never ring. */
function withoutLongTimers() {
  const start = window.setTimeout;
  window.setTimeout = (work, time) => {
    if (time <= 1_000) return start(work, time);
    window.rests = true;
    return 0;
  };
}

await drive(async (browser) => {
  const page = await open(browser);
  await record(page);
  if (how === 'refused') await page.evaluate(withoutLongTimers);
  await page.setInputFiles('#docs_field', pdf);
  await step('ready');
  await ways[how](page);
});
