// A double click on Upload. Run: node double_click.mjs PDF
import assert from 'node:assert/strict';
import { button, drive, open, posts, state } from './chromium.mjs';

await drive(async (browser) => {
  const page = await open(browser);
  const sent = posts(page);
  await page.setInputFiles('#docs_field', process.argv[2]);
  await button(page).dblclick();
  await state(page, 'docs_file', 'stored');
  assert.equal(sent.length, 1);
});
