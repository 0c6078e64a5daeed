// A tab that goes, or a Cancel, in the middle of a file; a second tab hears how the upload ended.
// Run: node leaving.mjs close|cancel PDF
import assert from 'node:assert/strict';
import { button, drive, open, state, step } from './chromium.mjs';

const [how, pdf] = process.argv.slice(2);

/** Every message of the other page's upload that a socket of this page hears. */
function listen(page, id) {
  return page.evaluate(async (client) => {
    window.heard = [];
    const socket = new WebSocket(`ws://${location.host}/ws?client_id=${client}`);
    socket.onmessage = ({ data }) => window.heard.push(JSON.parse(data));
    await new Promise((resolve) => { socket.onopen = resolve; });
  }, id);
}

await drive(async (browser) => {
  const page = await open(browser);
  const other = await page.context().newPage();
  await other.goto(page.url());
  await listen(other, await page.locator('body').getAttribute('data-client-id'));
  await page.bringToFront();
  await page.setInputFiles('#docs_field', pdf);
  await step('ready');
  await button(page).click();
  await state(page, 'docs_file', 'running');
  await step('in the middle');

  if (how === 'close') {
    await page.close();
  } else {
    await page.waitForSelector('.part[data-state="stored"]');
    await button(page).click();
    // It would delete what is stored already.
    await page.locator('#confirm').click();
  }
  await other.waitForFunction(() => window.heard.some((message) => message.status === 'error'));
  const ends = await other.evaluate(() => window.heard.filter(({ status }) => status === 'error'));
  assert.deepEqual(ends.map((end) => end.code), [how === 'close' ? 'client_gone' : 'cancelled']);
  assert.ok(ends[0].received > 0 && ends[0].received < ends[0].total, 'it was in the middle');
  if (how === 'cancel') await state(page, 'docs_file', 'cancelled');
});
