// File names that would be markup, scripts or another reading direction if they were not text.
// Run: node names.mjs
import assert from 'node:assert/strict';
import { BASE_URL, button, card, drive, headline, open, state } from './chromium.mjs';

const NAMES = [
  `<img src=x onerror=alert(1)>"'&lt;.pdf`,
  '<svg onload=alert(1)>.pdf',
  'harmless\u202efdp.exe.pdf',
  `${'n'.repeat(250)}.pdf`,
  'line\r\nX-Evil: 1.pdf',
];
const TURNS = /[\u0000-\u001f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Chooses files that no disk would hold under such a name. */
function choose(page, field, name, content) {
  return page.locator(`#${field}`).evaluate((input, [called, text]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], called));
    input.files = transfer.files;
    input.dispatchEvent(new Event('change', { bubbles: true }));
  }, [name, content]);
}

/** What the page would show if a name had become markup, and what else must not be in it. */
async function isText(page) {
  assert.equal(await page.locator('main img, main script').count(), 0);
  assert.doesNotMatch(await page.locator('body').innerText(), /[\u202a-\u202e]/);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth), 0);
}

await drive(async (browser, files) => {
  const page = await open(browser, { viewport: { width: 360, height: 800 } });
  const dialogs = [];
  page.on('dialog', (dialog) => { dialogs.push(dialog.message()); return dialog.dismiss(); });
  const pdf = '%PDF-1.7\n%%EOF\n';
  for (const name of NAMES) {
    const shown = name.replace(TURNS, '\ufffd');
    await choose(page, 'docs_field', name, pdf);
    await state(page, 'docs_file', 'chosen');
    assert.equal(await card(page, 'docs_file').locator('.file-name').textContent(), shown);
    await isText(page);
    await button(page).click();
    await state(page, 'docs_file', 'stored');
    await isText(page);
    assert.equal(await page.title(), 'Stored – Upload');
    assert.doesNotMatch(await page.locator('[role=status]').textContent(), /alert/);

    await choose(page, 'docs_field', name.replace(/pdf$/, 'exe'), pdf);
    await state(page, 'docs_file', 'refused');
    const advice = await card(page, 'docs_file').locator('.error .detail').textContent();
    assert.equal(advice, `“${shown.replace(/pdf$/, 'exe')}” is named .exe.`);
    await isText(page);

    await choose(page, 'docs_field', name, 'no document at all');
    await button(page).click();
    await state(page, 'docs_file', 'failed');
    assert.match(await headline(page, 'docs_file').textContent(), /not of an accepted type/);
    await isText(page);
    await card(page, 'docs_file').locator('.remove').click();
  }
  assert.deepEqual(dialogs, []);

  const plain = await browser.newPage({ javaScriptEnabled: false });
  const answers = [['It is stored', pdf], ['Not everything is stored', 'no document at all']];
  for (const name of NAMES) {
    for (const [heading, content] of answers) {
      await plain.goto(BASE_URL);
      await plain.setInputFiles('#docs_field', { name, mimeType: 'application/pdf', buffer: Buffer.from(content) });
      await button(plain).click();
      await plain.waitForSelector(`h1 >> text=${heading}`);
      assert.equal(await plain.locator('main img, main script').count(), 0);
      assert.doesNotMatch(await plain.content(), /onerror|alert\(1\)<|[\u202a-\u202e]/);
    }
  }
});
