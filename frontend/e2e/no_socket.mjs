// An upload without the progress socket: the browser's own count, called what it is.
// Run: node no_socket.mjs MODE PDF
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { button, card, drive, open, state, step } from './chromium.mjs';

const pdf = process.argv[3];

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
  await page.setInputFiles('#docs_field', pdf);
  await record(page);
  await step('ready');
  await button(page).click();
  await page.locator('.note', { hasText: 'Live progress is not available.' }).waitFor();
  await state(page, 'docs_file', 'stored');
  await card(page, 'docs_file').locator('.key code', { hasText: /^supporting_documents\// }).waitFor();
  assert.equal(await page.locator('.note').isVisible(), false);

  const seen = await page.evaluate(() => window.seen);
  const running = seen.filter(({ look }) => look === 'running');
  let last = 0;
  for (const now of running) {
    assert.equal(now.stored, '0', `nobody has said that anything is stored: ${JSON.stringify(now)}`);
    assert.doesNotMatch(`${now.headline} ${now.spoken}`, /stor/);
    assert.ok(Number(now.left ?? 0) >= last, `went back: ${JSON.stringify(now)}`);
    last = Number(now.left ?? 0);
  }
  assert.equal(last, statSync(pdf).size);
  const counted = running.filter(({ headline }) => /^\d+ % sent from this browser$/.test(headline));
  assert.ok(new Set(counted.map(({ left }) => left)).size > 3, 'it moved');
  for (const { label, spoken, title } of counted) {
    assert.equal(label, 'sent');
    assert.match(spoken, /^\d+ percent sent from this browser$/);
    assert.equal(title, 'Sending – Upload');
  }
  assert.match(seen.at(-1).headline, /^Stored – /);
});
