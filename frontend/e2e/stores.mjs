// A store, or a way to the server, that is slow or fails: what the page says of it, in numbers, colours and words.
// Run: node stores.mjs slow|again|failing|false|dropped|buffered|dead PDF
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { button, card, drive, headline, open, reload, state, step, throttle } from './chromium.mjs';
import { endsStored, painted, record, shown, solid } from './painted.mjs';

const [how, pdf] = process.argv.slice(2);
const SIZE = statSync(pdf).size;
const PARTS = Math.ceil(SIZE / (5 * 2 ** 20));

/** Everything that the page's sockets were told, in order, each with the number of its socket. */
function listen(page) {
  const heard = [];
  let sockets = 0;
  page.on('websocket', (socket) => {
    const place = sockets++;
    socket.on('framereceived', ({ payload }) => heard.push({ place, message: JSON.parse(payload) }));
  });
  return heard;
}

const ways = {
  /** One part after the other is confirmed, when the test says so. */
  async slow(page) {
    await page.waitForFunction((size) => document.querySelector('.card[data-file-type=docs_file] .bars').dataset.received === String(size), SIZE);
    for (let stored = 0; stored < PARTS; stored++) {
      await solid(page, stored);
      if (stored > 0) await headline(page, 'docs_file', `${stored} of ${PARTS} parts stored`).waitFor();
      await step(`${stored} stored`);
    }
    const list = await endsStored(page);
    const ahead = list.filter(({ look, received, solid: bytes }) => look === 'running' && received > bytes);
    assert.ok(ahead.length > PARTS, 'the received lane runs ahead');
    assert.ok(list.some(({ received, look, solid: bytes }) => look !== 'stored' && received === SIZE && bytes === 0), 'all of it, while nothing is stored');
    return list;
  },

  /** Part 3 is refused once; its second attempt is held back. */
  async again(page) {
    const again = 'part 3 did not arrive in storage, trying again (attempt 2)';
    await headline(page, 'docs_file', again).waitFor();
    await solid(page, PARTS - 1);
    assert.ok((await shown(page)).headline.endsWith(again), 'for as long as it takes');
    await step('trying again');
    const list = await endsStored(page);
    const retrying = list.filter(({ segments }) => segments.includes('retrying'));
    assert.ok(retrying.some(({ headline: said }) => said.endsWith(again)), 'its segment and the words agree');
    for (const { segments } of retrying) assert.equal(segments.split(' ').indexOf('retrying'), 2, segments);
  },

  /** Part 3 is refused for good. */
  async failing(page) {
    await state(page, 'docs_file', 'failed');
    const { segments, headline: said, detail } = await shown(page);
    assert.match(said, /storage/i);
    assert.match(detail, /^Nothing was stored\. /);
    assert.notEqual(segments[2], 'stored');
    await painted(page);
    assert.equal(await card(page, 'docs_file').locator('.key').isVisible(), false);
    await step('failed');
    await card(page, 'docs_file').locator('.retry').click();
    await endsStored(page);
  },

  /** Complete says 200 and means an error. */
  async false(page) {
    await state(page, 'docs_file', 'failed');
    const list = await painted(page);
    assert.ok(list.some(({ solid: bytes }) => bytes === SIZE), 'every part was stored');
    assert.ok(list.every(({ look }) => look !== 'stored'), 'and it was never called so');
    assert.equal(await card(page, 'docs_file').locator('.key').isVisible(), false);
    await step('failed');
  },

  /** The socket is gone for seconds, while the POST goes on; one snapshot mends the bars. */
  async dropped(page, heard) {
    await solid(page, 1);
    await step('one stored');
    await page.locator('.note', { hasText: 'Live progress is not available.' }).waitFor();
    const before = heard.length;
    const { place } = heard.at(-1);
    await step('alone');
    // Nobody tells, and so nothing moves, however much is stored.
    assert.equal((await shown(page)).segments.filter((part) => part === 'stored').length, 1);
    await step('nothing moved');
    await solid(page, 3);
    await page.locator('.note').waitFor({ state: 'hidden' });
    const { place: again, message } = heard[before];
    assert.ok(again > place, 'by another socket');
    assert.equal(message.parts_stored, 3, 'its first message knows all');
    await step('mended');
    await endsStored(page);
  },

  /** Something in between takes the whole POST before it passes any of it on. */
  async buffered(page) {
    await page.locator('.note', { hasText: 'something between you and it may hold it back' }).waitFor();
    const list = await endsStored(page);
    for (const { look, note, headline: said } of list.filter((now) => now.note)) {
      assert.equal(look, 'running');
      assert.match(note, /not what is stored\.$/);
      assert.doesNotMatch(said, /stor/);
    }
  },

  /** The POST's connection dies when the server has everything; the socket lives and tells the rest. */
  async dead(page) {
    await page.locator('.summary', { hasText: 'you can leave this page now' }).waitFor();
    await step('whole');
    await page.locator('.note', { hasText: 'The connection broke. Asking the server' }).waitFor();
    await step('broken');
    await endsStored(page);
  },
};

await drive(async (browser) => {
  const page = await open(browser);
  const heard = listen(page);
  if (how === 'dropped') await reload(page);
  await record(page);
  await page.setInputFiles('#docs_field', pdf);
  await step('ready');
  if (how === 'buffered') await throttle(page, SIZE / 5);
  await button(page).click();
  const list = await ways[how](page, heard);
  console.log(JSON.stringify(list ?? null));
});
