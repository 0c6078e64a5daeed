// An upload without the progress socket, or with one that tells nothing: the browser's own count, called
// what it is.
// Run: node no_socket.mjs blocked|silent PDF
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { button, card, drive, headline, open, reload, state, step } from './chromium.mjs';

const [how, pdf] = process.argv.slice(2);

/** Resolves when the page's socket is open: the browser has the server's answer to its handshake. */
async function connected(page) {
  const devtools = await page.context().newCDPSession(page);
  const shaken = new Promise((resolve) => devtools.once('Network.webSocketHandshakeResponseReceived', resolve));
  await devtools.send('Network.enable');
  await reload(page);
  await shaken;
}

/** Every painted state of the document's bars. */
function record(page) {
  return page.evaluate(() => {
    window.seen = [];
    const bars = document.querySelector('[data-file-type="docs_file"] .bars');
    const lane = bars.querySelector('[role=progressbar]');
    new MutationObserver(() => window.seen.push({
      ...bars.dataset,
      headline: bars.querySelector('.headline').textContent,
      label: bars.querySelector('.lane-name').textContent,
      spoken: lane.getAttribute('aria-valuetext'),
      title: document.title,
    })).observe(bars, { attributes: true, childList: true, characterData: true, subtree: true });
  });
}

await drive(async (browser) => {
  const page = await open(browser);
  if (how === 'silent') await connected(page);
  await page.setInputFiles('#docs_field', pdf);
  await record(page);
  await step('ready');
  await button(page).click();
  await page.locator('.note', { hasText: 'Live progress is not available.' }).waitFor();
  await headline(page, 'docs_file', 'Everything is sent from this browser').waitFor();
  await step('counted');
  await state(page, 'docs_file', 'stored');
  await card(page, 'docs_file').locator('.key code', { hasText: /^supporting_documents\// }).waitFor();
  assert.equal(await page.locator('.note').isVisible(), false);

  const seen = await page.evaluate(() => window.seen);
  // What the server tells in the end is another count.
  const running = seen.filter(({ look, left, status }) => look === 'running' && (left || !status));
  let last = 0;
  for (const now of running) {
    assert.equal(now.stored, '0', `nobody has said that anything is stored: ${JSON.stringify(now)}`);
    assert.doesNotMatch(`${now.headline} ${now.spoken}`, /stor/);
    assert.ok(Number(now.left ?? 0) >= last, `went back: ${JSON.stringify(now)}`);
    last = Number(now.left ?? 0);
  }
  assert.equal(last, statSync(pdf).size);
  const counted = running.filter(({ headline }) => /^\d+ % sent from this browser$/.test(headline));
  // A socket that is open is believed for two seconds; most may have left the browser by then.
  if (how === 'blocked') assert.ok(new Set(counted.map(({ left }) => left)).size > 3, 'it moved');
  for (const { label, spoken, title } of counted) {
    assert.equal(label, 'sent');
    assert.match(spoken, /^\d+ percent sent from this browser$/);
    assert.equal(title, 'Sending – Upload');
  }
  assert.match(seen.at(-1).headline, /^Stored – /);
});
