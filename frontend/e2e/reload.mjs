// A page that is loaded anew while its upload runs, and after it.
// Run: node reload.mjs whole|middle|unheard PDF JPEG
import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { button, card, drive, headline, open, reload, state, step } from './chromium.mjs';
import { painted, record, shown, told } from './painted.mjs';

const [how, pdf, jpeg] = process.argv.slice(2);

/** Loads it anew, after a look at all that was painted until then. */
async function again(page) {
  await painted(page);
  await reload(page);
}

/** Name and size stand in the document's card. */
async function named(page, size) {
  const document = card(page, 'docs_file');
  await document.locator('.file-name', { hasText: basename(pdf) }).waitFor();
  assert.equal(await document.locator('.file-size').textContent(), size);
}

const ways = {
  /** After the last byte: the server goes on, and so does the page. */
  async whole(page) {
    await page.setInputFiles('#msa_imgs', jpeg);
    const size = await card(page, 'docs_file').locator('.file-size').textContent();
    await step('ready');
    await button(page).click();
    await state(page, 'msa_imgs', 'stored');
    await page.locator('.summary', { hasText: 'you can leave this page now' }).waitFor();
    await step('whole');
    await again(page);
    await state(page, 'docs_file', 'running');
    await state(page, 'msa_imgs', 'stored');
    await named(page, size);
    await page.locator('.summary', { hasText: 'you can leave this page now' }).waitFor();
    await step('running again');
    await state(page, 'docs_file', 'stored');
    const key = await told(page);
    await again(page);
    await state(page, 'docs_file', 'stored');
    assert.equal(await told(page), key);
    await named(page, size);
    assert.equal(await card(page, 'msa_imgs').getAttribute('data-state'), 'stored');
    assert.equal(await button(page).textContent(), 'Upload two more');
    await button(page).click();
    await isEmpty(page);
    await again(page);
    // What it would still know of, it would ask the server for.
    await page.waitForLoadState('networkidle');
    await isEmpty(page);
  },

  /** In the middle of the body: what was sent is lost, and the page says so. */
  async middle(page) {
    await step('ready');
    await button(page).click();
    await state(page, 'docs_file', 'running');
    await step('in the middle');
    await again(page);
    await headline(page, 'docs_file', 'The document was interrupted when the page was reloaded. Nothing of it was stored.').waitFor();
    assert.equal(await card(page, 'docs_file').locator('.bars .detail').textContent(), 'Choose it again.');
    await state(page, 'docs_file', 'failed');
    await step('interrupted');
    await painted(page);
    await page.setInputFiles('#docs_field', pdf);
    await state(page, 'docs_file', 'chosen');
    await button(page).click();
    await state(page, 'docs_file', 'stored');
    await told(page);
  },

  /** Before the page has heard anything of its upload: it claims nothing. */
  async unheard(page) {
    await step('ready');
    await button(page).click();
    await page.locator('.note', { hasText: 'Live progress is not available.' }).waitFor();
    await step('in the middle');
    await again(page);
    await state(page, 'docs_file', 'failed');
    const { headline: said, detail } = await shown(page);
    assert.equal(said, 'The connection broke before the server confirmed the upload.');
    assert.doesNotMatch(detail, /stor/);
    await step('nothing claimed');
  },
};

async function isEmpty(page) {
  for (const type of ['docs_file', 'msa_imgs']) {
    assert.equal(await card(page, type).getAttribute('data-state'), 'empty');
    assert.equal(await card(page, type).locator('.file-name').textContent(), '');
  }
}

await drive(async (browser) => {
  const page = await open(browser);
  await record(page);
  await page.setInputFiles('#docs_field', pdf);
  await ways[how](page);
  await painted(page);
});
