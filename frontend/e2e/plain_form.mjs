// Posts the page's own form with JavaScript off and prints the words of the page that answers.
// Run: node plain_form.mjs PDF JPEG
import assert from 'node:assert/strict';
import { button, drive, open } from './chromium.mjs';

const [pdf, jpeg] = process.argv.slice(2);

await drive(async (browser) => {
  const page = await open(browser, { javaScriptEnabled: false });
  await page.setInputFiles('#docs_field', pdf);
  await page.setInputFiles('#msa_imgs', jpeg);
  const answered = page.waitForResponse((response) => response.request().method() === 'POST');
  await button(page).click();
  assert.equal((await answered).status(), 200);
  await page.waitForLoadState();
  console.log(JSON.stringify(await page.locator('body').innerText()));
});
