// Everything that the document's card ever showed: each change of the page, with its time.
import assert from 'node:assert/strict';
import { card, state } from './chromium.mjs';

/** Runs in the page. */
function watch() {
  window.painted = [];
  window.early = [];
  const look = (changes) => {
    const card = document.querySelector('.card[data-file-type=docs_file]');
    const lane = card?.querySelector('.parts');
    if (!lane) return;
    // A value that another one has replaced at once was there all the same.
    const was = window.painted.at(-1)?.look;
    for (const { target, attributeName, oldValue } of changes) {
      const isFull = target === lane && attributeName === 'aria-valuenow' && oldValue === '100';
      if (isFull && was !== 'stored') window.early.push(was ?? '');
    }
    const text = (piece) => document.querySelector(piece)?.textContent ?? '';
    const parts = [...lane.children];
    // Parts here are whole MiB; a style keeps six digits of them.
    const mebibytes = (part) => Math.round(Number(part.style.flexGrow) / 2 ** 20);
    const solid = parts.filter((part) => part.dataset.state === 'stored').reduce((sum, part) => sum + mebibytes(part), 0) * 2 ** 20;
    const { received, sent, stored, total, status } = card.querySelector('.bars').dataset;
    const now = {
      look: card.dataset.state, status, received: Number(received), sent: Number(sent), stored: Number(stored), total: Number(total),
      now: lane.getAttribute('aria-valuenow'), solid, segments: parts.map((part) => part.dataset.state).join(' '),
      headline: card.querySelector('.bars .headline').textContent, detail: card.querySelector('.bars .detail').textContent,
      note: text('.note'),
    };
    const { at_ms: _, ...last } = window.painted.at(-1) ?? {};
    if (JSON.stringify(now) !== JSON.stringify(last)) window.painted.push({ ...now, at_ms: Date.now() });
  };
  const everything = { attributes: true, attributeOldValue: true, childList: true, characterData: true, subtree: true };
  new MutationObserver(look).observe(document, everything);
}

/** Records from now on, and again on each page that is loaded in this tab. */
export async function record(page) {
  await page.addInitScript(watch);
  await page.evaluate(watch);
}

/** What was painted since the last call: nothing solid has shrunk, and nothing was full that was not stored. */
export async function painted(page) {
  const [list, early] = await page.evaluate(() => [window.painted.splice(0), window.early]);
  assert.deepEqual(early, [], '100 before it was stored');
  let [solid, before] = [0, ''];
  for (const now of list) {
    const told = JSON.stringify(now);
    // Another upload.
    if (now.look === 'running' && !['running', 'waiting'].includes(before)) solid = 0;
    assert.ok(now.solid >= solid, `solid parts went from ${solid} back: ${told}`);
    // An empty card shows no lanes.
    assert.ok(['stored', 'empty'].includes(now.look) || now.now !== '100', `100 before it was stored: ${told}`);
    [solid, before] = [now.solid, now.look];
  }
  return list;
}

/** What the document's lane shows now, and the words beside it. */
export function shown(page) {
  return page.evaluate(() => {
    const parts = [...document.querySelectorAll('.card[data-file-type=docs_file] .part')];
    const text = (piece) => document.querySelector(`.card[data-file-type=docs_file] .bars ${piece}`).textContent;
    return { segments: parts.map((part) => part.dataset.state), headline: text('.headline'), detail: text('.detail') };
  });
}

/** Resolves when the document's lane has so many solid parts. */
export function solid(page, count) {
  return page.waitForFunction((wanted) => document.querySelectorAll('.card[data-file-type=docs_file] .part[data-state=stored]').length === wanted, count);
}

/** Resolves when the document is stored and its card says where. */
export async function told(page) {
  const key = card(page, 'docs_file').locator('.key code', { hasText: /^supporting_documents\// });
  await key.waitFor();
  await card(page, 'docs_file').locator('.key a[href*="supporting_documents"]').waitFor();
  return key.textContent();
}

/** Stored, and nothing wrong in all that was painted until then. */
export async function endsStored(page) {
  await state(page, 'docs_file', 'stored');
  await told(page);
  return painted(page);
}
