// One byte over each limit: said by the page, and nothing is sent.
// Run: node too_large.mjs DOCUMENT_LIMIT IMAGE_LIMIT
import assert from 'node:assert/strict';
import { alerted, button, card, drive, open, posts, state } from './chromium.mjs';

const [document, image] = process.argv.slice(2).map(Number);

await drive(async (browser, files) => {
  const page = await open(browser);
  const sent = posts(page);
  const places = [
    ['docs_field', 'docs_file', 'a.pdf', document, /^The document can be up to 25 MiB\.$/],
    ['msa_imgs', 'msa_imgs', 'b.jpg', image, /^The image can be up to 10 MiB\.$/],
  ];
  for (const [field, type, name, limit, sentence] of places) {
    await page.setInputFiles(`#${field}`, files.raw(name, Buffer.alloc(limit + 1, 1)));
    await state(page, type, 'refused');
    assert.match(await card(page, type).locator('.error .headline').textContent(), sentence);
  }
  await button(page).click();
  await alerted(page, 'Choose a document or an image.');
  assert.deepEqual(sent, []);
  for (const [field, type, name, limit] of places) {
    await page.setInputFiles(`#${field}`, files.raw(name, Buffer.alloc(limit, 1)));
    await state(page, type, 'chosen');
  }
});
