// Refused early, while 24 MiB are on their way: the page must show the refusal and never a broken connection.
// Run: node refused.mjs fast|slow
import assert from 'node:assert/strict';
import { button, card, drive, headline, open, state, step, throttle } from './chromium.mjs';

const SIZE = 24 * 2 ** 20;
const SLOW = 1_000_000;
const [pace] = process.argv.slice(2);

/** Posts a form by hand and tells the answer as a script reads it. */
function post(page, headers) {
  return page.evaluate(([more, size]) => new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open('POST', '/upload');
    for (const [name, value] of Object.entries(more)) request.setRequestHeader(name, value);
    request.onloadend = () => resolve({ status: request.status, text: request.responseText });
    const form = new FormData();
    form.append('docs_field', new File(['%PDF-1.7\n', new Uint8Array(size)], 'a.pdf'));
    request.send(form);
  }), [headers, SIZE]);
}

await drive(async (browser, files) => {
  const page = await open(browser);
  await page.setInputFiles('#docs_field', files.raw('fake.pdf', Buffer.alloc(SIZE, 1)));
  await step('ready');
  if (pace === 'slow') await throttle(page, SLOW);

  await page.evaluate(() => {
    window.seen = [];
    const look = () => window.seen.push(document.querySelector('main').textContent);
    const everything = { attributes: true, childList: true, characterData: true, subtree: true };
    new MutationObserver(look).observe(document.querySelector('main'), everything);
  });
  const isUpload = (request) => request.url().endsWith('/upload');
  const ended = Promise.race(['requestfinished', 'requestfailed'].map((event) => page.waitForEvent(event, isUpload)));
  await button(page).click();
  await state(page, 'docs_file', 'failed');
  const said = /^The file's content is not of an accepted type/;
  assert.match(await headline(page, 'docs_file').textContent(), said);
  // With the socket the POST ends after that, in whichever way; it must not change what is said.
  await ended;
  assert.match(await headline(page, 'docs_file').textContent(), said);
  assert.match(await page.locator('[role=alert]').textContent(), said);
  const seen = await page.evaluate(() => window.seen);
  assert.deepEqual(seen.filter((text) => /connection|offline/i.test(text)), [], 'not for a moment');
  assert.equal(await card(page, 'docs_file').locator('.bars .detail').textContent(), 'Nothing was stored. Choose another file.');

  const refusals = [
    [{ 'X-Docs-Filesize': 'abc' }, 400, 'size_invalid'],
    [{ 'X-Docs-Filesize': '10' }, 413, 'size_exceeded'],
    [{ 'X-Client-Id': 'a b' }, 400, 'client_id_invalid'],
  ];
  for (const [headers, status, code] of refusals) {
    const answer = await post(page, headers);
    assert.equal(answer.status, status, `${code}: ${JSON.stringify(answer)}`);
    assert.equal(JSON.parse(answer.text).code, code);
  }
});
