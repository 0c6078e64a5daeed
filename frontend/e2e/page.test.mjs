// The page in Chromium, against a running server: BASE_URL says where.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { BASE_URL, Files, button, card, headline, launch, open, state } from './chromium.mjs';

const KEYS = {
  docs_file: /^supporting_documents\/docs_file[0-9a-f]{64}\.pdf$/,
  msa_imgs: /^photos\/msa_imgs[0-9a-f]{64}\.jpg$/,
};

let browser;
let files;

before(async () => {
  browser = await launch();
  files = new Files();
});
after(async () => {
  files.end();
  await browser.close();
});

/** Runs with a page of its own, which must not have thrown. */
async function withPage(options, work) {
  const page = await open(browser, options);
  try {
    await work(page);
    assert.deepEqual(page.errors, []);
  } finally {
    await page.context().close();
  }
}

/** Limits what the browser sends, in bytes a second; the page itself is loaded at full speed before. */
async function throttle(page) {
  const devtools = await page.context().newCDPSession(page);
  return (uploadThroughput) => devtools.send('Network.emulateNetworkConditions', {
    offline: false, latency: 0, downloadThroughput: -1, uploadThroughput,
  });
}

/** Every painted state of both cards, in order, each with the lane as it was drawn then. */
async function record(page) {
  await page.evaluate(() => {
    window.seen = { docs_file: [], msa_imgs: [] };
    const look = () => {
      // Where a file is only chosen no bars are shown, and those of the last one are still there.
      for (const card of document.querySelectorAll('.card:not([data-state=chosen])')) {
        const bars = card.querySelector('.bars');
        const lane = bars.querySelector('[role=progressbar]');
        const values = {
          ...bars.dataset,
          now: lane.getAttribute('aria-valuenow'),
          text: lane.getAttribute('aria-valuetext'),
          headline: bars.querySelector('.headline').textContent,
          solid: [...lane.children].filter((part) => part.dataset.state === 'stored').length,
          thin: bars.querySelector('.thin .fill').style.getPropertyValue('--filled'),
        };
        const list = window.seen[card.dataset.fileType];
        if (values.status && JSON.stringify(values) !== JSON.stringify(list.at(-1))) list.push(values);
      }
    };
    new MutationObserver(look).observe(document.querySelector('.cards'), {
      attributes: true, childList: true, characterData: true, subtree: true,
    });
  });
}

/** The law of the bars, over everything that was painted. */
function obeysTheLaw(list, total) {
  let last = { received: 0, sent: 0, stored: 0, progress: 0 };
  for (const values of list) {
    const now = {};
    for (const name of ['received', 'sent', 'stored', 'progress']) {
      now[name] = Number(values[name]);
      assert.ok(now[name] >= last[name], `${name} went back: ${JSON.stringify(values)}`);
    }
    assert.ok(now.stored <= now.sent && now.sent <= now.received && now.received <= total, JSON.stringify(values));
    assert.equal(Number(values.total), total);
    const full = values.status === 'completed';
    assert.equal(now.progress, full ? 100 : Math.min(99, Math.floor((100 * now.sent) / total)));
    assert.equal(Number(values.now), now.progress);
    assert.equal(values.look === 'stored', full);
    last = now;
  }
}

test('a document and an image are stored, and the bars obey their law', () => withPage({}, async (page) => {
  const pdf = files.pdf('report.pdf', 24_000_000);
  const jpeg = await files.jpeg(page, 'photo.jpg', 3_000_000);
  await page.setInputFiles('#docs_field', pdf);
  await page.setInputFiles('#msa_imgs', jpeg);
  assert.equal(await card(page, 'docs_file').locator('.file-name').textContent(), 'report.pdf');
  assert.match(await card(page, 'docs_file').locator('.file-size').textContent(), /^24\.0 MB$/);
  const width = await card(page, 'msa_imgs').locator('.thumb').evaluate(async (thumb) => {
    const image = new Image();
    [, image.src] = /url\("(blob:.*)"\)/.exec(thumb.style.backgroundImage);
    await image.decode();
    return image.naturalWidth;
  });
  assert.equal(width, 480);

  await record(page);
  // So that a fast store is seen at work too.
  await (await throttle(page))(8_000_000);
  await button(page).click();
  for (const type of ['docs_file', 'msa_imgs']) {
    await state(page, type, 'stored');
    await card(page, type).locator('.key code', { hasText: KEYS[type] }).waitFor();
  }
  const seen = await page.evaluate(() => window.seen);
  obeysTheLaw(seen.docs_file, statSync(pdf).size);
  obeysTheLaw(seen.msa_imgs, statSync(jpeg).size);
  assert.ok(seen.docs_file.some((values) => values.solid > 0 && values.status !== 'completed'), 'no part was seen stored');
  assert.ok(seen.docs_file.some((values) => / of 5 parts stored/.test(values.headline)));
  assert.match(seen.docs_file.at(-1).headline, /^Stored – 24\.0 MB in \d/);
  assert.equal(await page.locator('[role=status]').textContent().then((text) => / is stored\.$/.test(text)), true);
  assert.equal(await page.title(), 'Stored – Upload');
  assert.match(await page.locator('.summary').textContent(), /^Both stored in \d+ s\.$/);
  assert.equal(await button(page).textContent(), 'Upload two more');

  await button(page).click();
  await state(page, 'docs_file', 'empty');
  await state(page, 'msa_imgs', 'empty');
  assert.equal(await page.locator('#docs_field').evaluate((input) => input.files.length), 0);
}));

test('a second upload on the same page shows its own bars', () => withPage({}, async (page) => {
  const jpeg = await files.jpeg(page, 'first.jpg', 200_000);
  await page.setInputFiles('#msa_imgs', jpeg);
  await button(page).click();
  await state(page, 'msa_imgs', 'stored');
  const key = card(page, 'msa_imgs').locator('.key code', { hasText: KEYS.msa_imgs });
  await key.waitFor();
  const first = await key.textContent();
  assert.equal(await button(page).textContent(), 'Upload another');
  await button(page).click();

  const second = await files.jpeg(page, 'second.jpg', 6_000_000);
  await page.setInputFiles('#msa_imgs', second);
  await record(page);
  await button(page).click();
  await state(page, 'msa_imgs', 'stored');
  obeysTheLaw((await page.evaluate(() => window.seen)).msa_imgs, statSync(second).size);
  await page.waitForFunction(
    ([selector, old]) => ![ '', old ].includes(document.querySelector(selector).textContent),
    ['.card[data-file-type="msa_imgs"] .key code', first],
  );
}));

test('what is refused is said before anything is sent', () => withPage({}, async (page) => {
  const posts = [];
  page.on('request', (request) => request.method() === 'POST' && posts.push(request.url()));
  const refused = async (field, type, path, sentence, advice) => {
    await page.setInputFiles(`#${field}`, path);
    await state(page, type, 'refused');
    assert.equal(await card(page, type).locator('.error .headline').textContent(), sentence);
    assert.equal(await card(page, type).locator('.error .detail').textContent(), advice);
    assert.equal(await page.locator(`#${field}`).evaluate((input) => input.files.length), 0);
  };
  const documents = 'The document must be a PDF or DOCX.';
  await refused('docs_field', 'docs_file', files.raw('a.zip', 'zip'), documents, '“a.zip” is named .zip.');
  await refused('docs_field', 'docs_file', files.raw('a.doc', 'doc'), documents, '“a.doc” is an old Word file (.doc). Save it as DOCX.');
  await refused('docs_field', 'docs_file', files.raw('a.pdf', ''), 'The document is empty.', '“a.pdf” has 0 bytes.');
  const limit = Number(await page.locator('body').getAttribute('data-max-image'));
  assert.equal(limit % 2 ** 20, 0, 'this test is about the default limits');
  await refused('msa_imgs', 'msa_imgs', files.raw('big.png', Buffer.alloc(limit + 1)), `The image can be up to ${limit / 2 ** 20} MiB.`, '“big.png” is 10.4 MB.');
  await button(page).click();
  assert.deepEqual(posts, []);

  // Exactly the limit is taken.
  await page.setInputFiles('#msa_imgs', files.raw('fits.png', Buffer.alloc(limit)));
  await state(page, 'msa_imgs', 'chosen');
}));

test('nothing chosen is a sentence and no request', () => withPage({}, async (page) => {
  await button(page).click();
  await state(page, 'docs_file', 'refused');
  assert.equal(await page.locator('[role=alert]').textContent(), 'Choose a document or an image.');
  assert.equal(await button(page).textContent(), 'Upload');
}));

test('cancel ends both files and leaves the page ready to try again', () => withPage({}, async (page) => {
  const pdf = files.pdf('report.pdf', 25_000_000);
  await page.setInputFiles('#docs_field', pdf);
  // Slow enough that Cancel comes in the middle.
  const limit = await throttle(page);
  await limit(4_000_000);
  await button(page).click();
  await state(page, 'docs_file', 'running');
  await page.waitForSelector('[data-file-type="docs_file"] .bars:not([data-received="0"])');
  // A double click on Upload must not cancel: the second press counts only after half a second.
  await page.waitForTimeout(600);
  assert.equal(await button(page).textContent(), 'Cancel');
  await button(page).click();
  await state(page, 'docs_file', 'cancelled', 10_000);
  assert.equal(await card(page, 'docs_file').locator('.bars .headline').textContent(), 'Cancelled – nothing was stored');
  assert.equal(await page.locator('[role=status]').textContent(), 'The document was cancelled. Nothing was stored.');

  await limit(-1);
  await card(page, 'docs_file').locator('.retry').click();
  await state(page, 'docs_file', 'stored');
}));

test('a double click uploads once', () => withPage({}, async (page) => {
  const posts = [];
  page.on('request', (request) => request.method() === 'POST' && posts.push(request.url()));
  await page.setInputFiles('#docs_field', files.pdf('twice.pdf', 6_000_000));
  await button(page).dblclick();
  await state(page, 'docs_file', 'stored');
  assert.equal(posts.length, 1);
}));

test('the headers declare what was chosen, and only that', () => withPage({}, async (page) => {
  const jpeg = await files.jpeg(page, 'only.jpg', 100_000);
  await page.setInputFiles('#msa_imgs', jpeg);
  const [request] = await Promise.all([
    page.waitForRequest((one) => one.method() === 'POST'),
    button(page).click(),
  ]);
  const headers = await request.allHeaders();
  assert.equal(headers['x-image-filesize'], String(statSync(jpeg).size));
  assert.equal(headers['x-docs-filesize'], undefined);
  assert.equal(headers['x-client-id'], await page.locator('body').getAttribute('data-client-id'));
  await state(page, 'msa_imgs', 'stored');
}));

test('a file dropped on a card is chosen there, two are one too many', () => withPage({}, async (page) => {
  const drop = (names) => card(page, 'docs_file').evaluate((target, list) => {
    const transfer = new DataTransfer();
    for (const name of list) transfer.items.add(new File(['%PDF-1.4\n'], name));
    for (const kind of ['dragover', 'drop']) {
      target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
    }
  }, names);
  await drop(['one.pdf', 'two.pdf']);
  await state(page, 'docs_file', 'refused');
  assert.equal(await card(page, 'docs_file').locator('.error .headline').textContent(), 'Choose one document.');
  await drop(['one.pdf']);
  await state(page, 'docs_file', 'chosen');
  assert.equal(await page.locator('#docs_field').evaluate((input) => input.files[0].name), 'one.pdf');
  await card(page, 'docs_file').locator('.remove').click();
  await state(page, 'docs_file', 'empty');
  assert.equal(await page.locator('#docs_field').evaluate((input) => input.files.length), 0);
}));

test('what was picked before the page woke is kept', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  let wake;
  const asleep = new Promise((resolve) => { wake = resolve; });
  await page.route('**/*.wasm', async (route) => { await asleep; await route.continue(); });
  await page.goto(BASE_URL, { waitUntil: 'commit' });
  await page.setInputFiles('#docs_field', files.pdf('early.pdf', 1000));
  wake();
  await state(page, 'docs_file', 'chosen');
  assert.equal(await card(page, 'docs_file').locator('.file-name').textContent(), 'early.pdf');
  await context.close();
});

test('a file that is not what it is named is refused by the server, in its card', () => withPage({}, async (page) => {
  await page.setInputFiles('#docs_field', files.raw('fail.pdf', Buffer.alloc(2_000_000, 1)));
  await button(page).click();
  await state(page, 'docs_file', 'failed');
  assert.match(await card(page, 'docs_file').locator('.bars .headline').textContent(), /\w/);
  assert.equal(await page.title(), 'Failed – Upload');
  assert.match(await page.locator('[role=alert]').textContent(), /\w/);
}));

test('the form works without JavaScript', () => withPage({ javaScriptEnabled: false }, async (page) => {
  await page.setInputFiles('#docs_field', files.pdf('plain.pdf', 300_000));
  await button(page).click();
  await page.waitForSelector('h1 >> text=stored');
  assert.match(await page.locator('.card').textContent(), /The document is stored\./);
  assert.match(await page.locator('.key code').textContent(), KEYS.docs_file);
  await page.click('a.primary');
  await page.waitForSelector('input#docs_field');
}));

test('the server writes no style attribute', async () => {
  const html = await (await fetch(BASE_URL)).text();
  assert.doesNotMatch(html, /\sstyle=/);
});

test('no sideways scroll at 320 px, with a name of 200 characters', () => withPage({ viewport: { width: 320, height: 700 } }, async (page) => {
  await page.setInputFiles('#docs_field', files.raw(`${'n'.repeat(196)}.pdf`, '%PDF-1.4'));
  await state(page, 'docs_file', 'chosen');
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
}));

test('the page speaks Arabic, from right to left', () => withPage({ locale: 'ar-EG', viewport: { width: 320, height: 700 } }, async (page) => {
  assert.deepEqual(
    await page.evaluate(() => [document.documentElement.lang, getComputedStyle(document.body).direction]),
    ['ar', 'rtl'],
  );
  await page.setInputFiles('#docs_field', files.raw('a.zip', 'zip'));
  await state(page, 'docs_file', 'refused');
  assert.equal(
    await card(page, 'docs_file').locator('.error .headline').textContent(),
    'المستند: يجب أن يكون الملف بصيغة PDF أو DOCX.',
  );
  await page.setInputFiles('#docs_field', files.raw('fake.pdf', Buffer.alloc(100_000, 1)));
  await button(page).click();
  await state(page, 'docs_file', 'failed');
  assert.equal(
    await card(page, 'docs_file').locator('.bars .headline').textContent(),
    'محتوى الملف ليس من نوع مقبول، أو لا يطابق اسمه.',
  );
  assert.equal(await card(page, 'docs_file').locator('.bars .detail').textContent(), 'لم يُخزَّن شيء. اختر ملفًا آخر.');
  await page.setInputFiles('#docs_field', files.pdf('report.pdf', 300_000));
  await button(page).click();
  await state(page, 'docs_file', 'stored');
  // How long it took comes with the socket's last message, and that may come after the answer.
  await headline(page, 'docs_file', /^تم التخزين – \S+ كيلوبايت خلال \d+ ث$/).waitFor();
  assert.equal(await page.title(), 'تم التخزين – الرفع');
  const seen = await page.evaluate(() => {
    // What is no name: the brand, the file's name and key, the types.
    for (const other of document.querySelectorAll('.brand, .file-name, .key code, .hint')) other.remove();
    return document.querySelector('main').innerText;
  });
  assert.doesNotMatch(seen, /[a-z]/i);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 320);
}));
