// A double click on Upload. Run: node double_click.mjs MODE PDF
import assert from 'node:assert/strict';
import { button, drive, open, state } from './chromium.mjs';

await drive(async (browser) => {
  const page = await open(browser);
  const posts = [];
  page.on('request', (request) => request.method() === 'POST' && posts.push(request.url()));
  await page.setInputFiles('#docs_field', process.argv[3]);
  await button(page).dblclick();
  await state(page, 'docs_file', 'stored');
  assert.equal(posts.length, 1);
});
