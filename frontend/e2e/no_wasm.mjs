// The WASM does not come: the form that the server wrote uploads, and a page says what is stored.
// Run: node no_wasm.mjs
import assert from 'node:assert/strict';
import { BASE_URL, button, drive } from './chromium.mjs';

const ways = {
  blocked: (route) => route.abort(),
  'not there': (route) => route.fulfill({ status: 404, contentType: 'text/plain', body: 'not found' }),
  broken: (route) => route.fulfill({ status: 200, contentType: 'application/wasm', body: 'no wasm' }),
};

await drive(async (browser, files) => {
  for (const [name, way] of Object.entries(ways)) {
    const page = await browser.newPage();
    await page.route('**/*.wasm', way);
    const failed = page.waitForEvent('pageerror');
    await page.goto(BASE_URL);
    await failed;
    await page.setInputFiles('#docs_field', files.pdf(`${name}.pdf`, 300_000));
    await button(page).click();
    await page.waitForSelector('h1 >> text=stored');
    assert.match(await page.locator('.card').textContent(), /The document is stored\./, name);
    await page.close();
  }
});
