// The page in Chromium, against a running server: BASE_URL says where.
import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { BASE_URL, Files, button, card, headline, launch, open, posts, state, throttle } from './chromium.mjs';
import { stage } from './stage.mjs';

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
  await throttle(page, 8_000_000);
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
  const sent = posts(page);
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
  assert.deepEqual(sent, []);

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
  await throttle(page, 4_000_000);
  await button(page).click();
  await state(page, 'docs_file', 'running');
  await page.waitForSelector('[data-file-type="docs_file"] .bars:not([data-received="0"])');
  // A double click on Upload must not cancel: the second press counts only after half a second.
  await page.waitForTimeout(600);
  assert.equal(await button(page).textContent(), 'Cancel');
  await button(page).click();
  // No part is stored yet, so there is nothing to ask.
  await state(page, 'docs_file', 'cancelled', 10_000);
  assert.equal(await card(page, 'docs_file').locator('.bars .headline').textContent(), 'Cancelled – nothing was stored');
  assert.equal(await page.locator('[role=status]').textContent(), 'The document was cancelled. Nothing was stored.');

  await throttle(page, -1);
  await card(page, 'docs_file').locator('.retry').click();
  await state(page, 'docs_file', 'stored');
}));

test('a double click uploads once', () => withPage({}, async (page) => {
  const sent = posts(page);
  await page.setInputFiles('#docs_field', files.pdf('twice.pdf', 6_000_000));
  await button(page).dblclick();
  await state(page, 'docs_file', 'stored');
  assert.equal(sent.length, 1);
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

/** Drags real files, or a text, over the page, as a file manager's window would. */
async function dragging(page) {
  const devtools = await page.context().newCDPSession(page);
  let data;
  let point;
  const go = (type) => devtools.send('Input.dispatchDragEvent', { type, ...point, data });
  const middle = async (selector) => {
    const box = await page.locator(selector).boundingBox();
    return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  };
  return {
    async over(selector, files, items = []) {
      data = { items, files, dragOperationsMask: 1 };
      point = await middle(selector);
      await go('dragEnter');
      await go('dragOver');
    },
    drop: () => go('drop'),
    // DevTools have nothing for it: from one element to another, or out of the page.
    leave: (from, to) => page.evaluate((selectors) => {
      const [target, relatedTarget] = selectors.map((selector) => selector && document.querySelector(selector));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(['x'], 'x'));
      target.dispatchEvent(new DragEvent('dragleave', { bubbles: true, cancelable: true, dataTransfer, relatedTarget }));
    }, [from, to]),
  };
}

const DOCUMENT = '.card[data-file-type="docs_file"]';
const IMAGE = '.card[data-file-type="msa_imgs"]';
/** Beside the cards. */
const HEADING = 'h1';

/** The names of the files that the form holds. */
const held = (page) => page.evaluate(() => ['docs_field', 'msa_imgs'].map((id) => document.getElementById(id).files[0]?.name));

/** The cards that offer to take what is dragged. */
const offering = (page) => page.evaluate(() => [...document.querySelectorAll('.card')]
  .filter((card) => card.querySelector('.drop-here').checkVisibility()).map((card) => card.dataset.fileType));

test('what is dropped goes to the place of its type, wherever it is dropped', () => withPage({}, async (page) => {
  const drag = await dragging(page);
  const pdf = files.pdf('report.pdf', 1000);
  const png = files.raw('photo.png', 'png');
  const drops = [
    [HEADING, [pdf, png], ['report.pdf', 'photo.png']],
    [IMAGE, [png, pdf], ['report.pdf', 'photo.png']],
    [DOCUMENT, [png], [undefined, 'photo.png']],
    [IMAGE, [pdf], ['report.pdf', undefined]],
    // What is of no type that is known is refused where it was dropped.
    [IMAGE, [files.raw('notes.xyz', 'text')], [undefined, undefined]],
  ];
  for (const [where, paths, names] of drops) {
    await drag.over(where, paths);
    await drag.drop();
    const states = await page.locator('.card').evaluateAll((cards) => cards.map((one) => one.dataset.state));
    assert.deepEqual(await held(page), names, `dropped on ${where}`);
    const isRefused = names.every((name) => name === undefined);
    assert.deepEqual(states, isRefused ? ['empty', 'refused'] : names.map((name) => (name ? 'chosen' : 'empty')));
    await page.locator('.remove').evaluateAll((buttons) => buttons.forEach((one) => one.click()));
  }
  assert.equal(page.url(), new URL('/', BASE_URL).href);
}));

test('two documents are one too many, and a folder is no file', () => withPage({}, async (page) => {
  const drag = await dragging(page);
  const error = (type, line) => card(page, type).locator(`.error .${line}`).textContent();
  await drag.over(DOCUMENT, [files.pdf('one.pdf', 1000), files.pdf('two.pdf', 1000)]);
  await drag.drop();
  await state(page, 'docs_file', 'refused');
  assert.equal(await error('docs_file', 'headline'), 'Choose one document.');
  assert.equal(await error('docs_file', 'detail'), 'You dropped 2.');
  await drag.over(IMAGE, [files.folder('holiday')]);
  await drag.drop();
  await state(page, 'msa_imgs', 'refused');
  assert.equal(await error('msa_imgs', 'headline'), 'Choose a file, not a folder.');
  assert.equal(await page.locator('[role=alert]').textContent(), 'Choose a file, not a folder.');
  assert.deepEqual(await held(page), [undefined, undefined]);
}));

test('while files are dragged, the cards that would take them say so', () => withPage({}, async (page) => {
  const drag = await dragging(page);
  const pdf = files.pdf('report.pdf', 1000);
  const png = files.raw('photo.png', 'png');
  const offers = [
    [[pdf], ['docs_file']],
    [[png], ['msa_imgs']],
    [[png, pdf], ['docs_file', 'msa_imgs']],
    // A type that the browser does not know.
    [[files.raw('report.unknown-to-all', 'x')], ['docs_file', 'msa_imgs']],
  ];
  for (const [paths, types] of offers) {
    // Over the other card: it is the file that decides.
    await drag.over(types[0] === 'docs_file' ? IMAGE : DOCUMENT, paths);
    assert.deepEqual(await offering(page), types);
    await drag.leave(DOCUMENT, 'h1');
    assert.deepEqual(await offering(page), types);
    await drag.leave('h1', null);
    assert.deepEqual(await offering(page), []);
  }
  await drag.over(IMAGE, [png]);
  assert.equal(await card(page, 'msa_imgs').locator('.drop-here').innerText(), 'Drop to use as image');
  await drag.drop();
  await state(page, 'msa_imgs', 'chosen');
  assert.deepEqual(await offering(page), []);

  // Safari tells nothing of what is dragged.
  await page.evaluate(() => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File(['x'], 'photo.png', { type: 'image/png' }));
    Object.defineProperty(dataTransfer, 'items', { value: [] });
    document.body.dispatchEvent(new DragEvent('dragover', { bubbles: true, cancelable: true, dataTransfer }));
  });
  assert.deepEqual(await offering(page), ['docs_file', 'msa_imgs']);
}));

test('a text that is dragged over the page is left alone', () => withPage({}, async (page) => {
  await page.evaluate(() => {
    window.taken = {};
    for (const name of ['dragover', 'drop']) {
      window.addEventListener(name, (event) => { window.taken[name] = event.defaultPrevented; });
    }
  });
  const drag = await dragging(page);
  await drag.over(DOCUMENT, [], [{ mimeType: 'text/plain', data: 'a text' }]);
  assert.deepEqual(await offering(page), []);
  // A browser drops nothing where nobody has asked for it; but an extension may have.
  await page.locator(DOCUMENT).evaluate((target) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.setData('text/plain', 'a text');
    target.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer }));
  });
  assert.deepEqual(await page.evaluate(() => window.taken), { dragover: false, drop: false });
  assert.deepEqual(await held(page), [undefined, undefined]);
}));

test('a pasted screenshot becomes the image, but not while an upload runs', () => withPage({ permissions: ['clipboard-read', 'clipboard-write'] }, async (page) => {
  await page.evaluate(() => navigator.clipboard.writeText('no picture'));
  await page.keyboard.press('Control+V');
  assert.deepEqual(await held(page), [undefined, undefined]);
  assert.deepEqual(await page.locator('.card').evaluateAll((cards) => cards.map((one) => one.dataset.state)), ['empty', 'empty']);

  await page.evaluate(async () => {
    const canvas = document.createElement('canvas');
    const picture = await new Promise((resolve) => { canvas.toBlob(resolve, 'image/png'); });
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': picture })]);
  });
  await page.keyboard.press('Control+V');
  await state(page, 'msa_imgs', 'chosen');
  assert.deepEqual(await held(page), [undefined, 'image.png']);

  await card(page, 'msa_imgs').locator('.remove').click();
  await page.setInputFiles('#docs_field', files.pdf('report.pdf', 1_000_000));
  await throttle(page, 200_000);
  await button(page).click();
  await state(page, 'docs_file', 'running');
  await page.keyboard.press('Control+V');
  const drag = await dragging(page);
  await drag.over(IMAGE, [files.raw('photo.png', 'png')]);
  assert.deepEqual(await offering(page), []);
  await drag.drop();
  assert.deepEqual(await held(page), ['report.pdf', undefined]);
  await throttle(page, -1);
  await state(page, 'docs_file', 'stored');
}));

test('a finger finds a camera, and its photo becomes the image', async () => {
  await withPage({}, (page) => card(page, 'msa_imgs').locator('.camera').waitFor({ state: 'hidden' }));
  await withPage({ hasTouch: true, isMobile: true, viewport: { width: 390, height: 800 } }, async (page) => {
    const camera = card(page, 'msa_imgs').locator('.camera');
    await camera.waitFor();
    await page.locator('#msa_imgs').focus();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'camera');
    const rings = await card(page, 'msa_imgs').locator('label').evaluateAll((labels) => labels.map((label) => getComputedStyle(label).outlineStyle));
    assert.deepEqual(rings, ['none', 'solid'], 'the focus is seen on the camera and nowhere else');

    const photo = await files.jpeg(page, 'photo.jpg', 200_000);
    await page.setInputFiles('#camera', photo);
    await state(page, 'msa_imgs', 'chosen');
    assert.deepEqual(await held(page), [undefined, 'photo.jpg']);
    assert.deepEqual(await page.evaluate(() => [...new FormData(document.querySelector('form'))].map(([name, file]) => [name, file.name])), [
      ['docs_field', ''], ['msa_imgs', 'photo.jpg'],
    ]);
    assert.equal(await page.locator('#camera').evaluate((input) => input.files.length), 0);
    await button(page).click();
    await state(page, 'msa_imgs', 'stored');
  });
});

/** A page that plays a state, with its timers running; `prepare` comes before the page's own scripts. */
async function withState(name, work, { prepare, ...options } = {}) {
  const page = await stage(browser, '/', { prepare, ...options });
  try {
    await page.evaluate((state) => window.showState(state, { live: true }), name);
    await work(page);
    assert.deepEqual(page.errors, []);
  } finally {
    await page.context().close();
  }
}

test('leaving is warned of while bytes still have to leave the browser, and only then', async () => {
  const warned = { idle: false, chosen: false, storing: true, 'received-all': false, stored: false, 'one-failed': false, cancelled: false };
  for (const [name, isWarned] of Object.entries(warned)) {
    await withState(name, async (page) => {
      const isPrevented = await page.evaluate(() => !window.dispatchEvent(new Event('beforeunload', { cancelable: true })));
      assert.equal(isPrevented, isWarned, name);
    });
  }
  await withState('storing', async (page) => {
    // Browsers ask only those who have done something here.
    await page.mouse.click(5, 5);
    const asked = page.waitForEvent('dialog');
    const left = page.waitForEvent('close');
    await page.close({ runBeforeUnload: true });
    const dialog = await asked;
    assert.equal(dialog.type(), 'beforeunload');
    // Chromium has died of a context that was closed while a page of it stayed against its will.
    await dialog.accept();
    await left;
  });
});

/** In place of the browser's lock, one that writes down what is asked of it. */
function lockable(page, isRefused = false) {
  return page.addInitScript((refuses) => {
    window.lock = [];
    const request = async (kind) => {
      window.lock.push(`request ${kind}`);
      if (refuses) throw new DOMException('low battery', 'NotAllowedError');
      return { release: async () => { window.lock.push('release'); } };
    };
    Object.defineProperty(navigator, 'wakeLock', { value: { request } });
    window.rejections = [];
    window.addEventListener('unhandledrejection', ({ reason }) => window.rejections.push(String(reason)));
  }, isRefused);
}

test('the screen stays on while an upload runs', async () => {
  const locks = {
    chosen: [],
    storing: ['request screen'],
    stored: ['request screen', 'release'],
    'one-failed': ['request screen', 'release'],
    cancelled: ['request screen', 'release'],
  };
  const lock = (page) => page.evaluate(() => window.lock);
  for (const [name, asked] of Object.entries(locks)) {
    await withState(name, async (page) => assert.deepEqual(await lock(page), asked, name), { prepare: lockable });
  }
  // A browser takes the lock back when the page is hidden.
  await withState('storing', async (page) => {
    for (const isHidden of [true, false]) {
      await page.evaluate((hidden) => {
        Object.defineProperty(document, 'hidden', { configurable: true, value: hidden });
        document.dispatchEvent(new Event('visibilitychange'));
      }, isHidden);
      // What the page asks for it asks in turn.
      await page.evaluate(() => new Promise((resolve) => { setTimeout(resolve); }));
    }
    assert.deepEqual(await lock(page), ['request screen', 'release', 'request screen']);
  }, { prepare: lockable });
  await withState('stored', async (page) => {
    assert.deepEqual(await lock(page), ['request screen']);
    assert.deepEqual(await page.evaluate(() => window.rejections), []);
  }, { prepare: (page) => lockable(page, true) });
});

test('the title and the icon say how it goes', async () => {
  const told = {
    idle: [/^Upload$/, 'favicon.svg'],
    chosen: [/^Upload$/, 'favicon.svg'],
    storing: [/^\d\d % – Upload$/, 'favicon-running.svg'],
    'no-live-progress': [/^Sending – Upload$/, 'favicon-running.svg'],
    stored: [/^Stored – Upload$/, 'favicon-stored.svg'],
    'one-failed': [/^Failed – Upload$/, 'favicon-failed.svg'],
    cancelled: [/^Upload$/, 'favicon.svg'],
  };
  for (const [name, [title, icon]] of Object.entries(told)) {
    await withState(name, async (page) => {
      assert.match(await page.title(), title, name);
      assert.equal(await page.locator('link[rel=icon]').getAttribute('href'), icon, name);
    });
    const answer = await fetch(new URL(icon, BASE_URL));
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'image/svg+xml'], icon);
  }
});

test('cancel asks first once a part is stored', () => withState('storing', async (page) => {
  const ask = page.locator('.confirm');
  const focused = (id) => page.waitForFunction((wanted) => document.activeElement.id === wanted, id);
  await page.waitForTimeout(600);
  await ask.waitFor({ state: 'hidden' });
  await button(page).click();
  await focused('confirm');
  // Two of the document, and the image has no whole one yet.
  assert.equal(await page.locator('#confirm-question').innerText(), 'Cancel and delete the 2 stored parts?');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await ask.waitFor({ state: 'hidden' });
  await focused('press');
  await state(page, 'docs_file', 'running');
  assert.equal(await button(page).textContent(), 'Cancel');

  await page.keyboard.press('Enter');
  await focused('confirm');
  await page.keyboard.press('Enter');
  await ask.waitFor({ state: 'hidden' });
  await focused('press');
  assert.equal(await button(page).textContent(), 'Cancelling');
  // It is played, so nobody confirms.
  await state(page, 'docs_file', 'failed', 10_000);
}));

test('a question that the end has answered gives the focus back', () => withState('asking-to-cancel', async (page) => {
  await page.waitForFunction(() => document.activeElement.id === 'confirm');
  await page.evaluate(() => window.finish());
  await state(page, 'docs_file', 'stored');
  await page.locator('.confirm').waitFor({ state: 'hidden' });
  assert.equal(await page.evaluate(() => document.activeElement.id), 'press');
}));

test('a person who confirms cancels a real upload', () => withPage({}, async (page) => {
  await page.setInputFiles('#docs_field', files.pdf('report.pdf', 25_000_000));
  await throttle(page, 6_000_000);
  await button(page).click();
  await page.waitForSelector(`${DOCUMENT} .part[data-state="stored"]`);
  await page.waitForTimeout(600);
  await button(page).click();
  await page.locator('#confirm').click();
  await state(page, 'docs_file', 'cancelled', 10_000);
  await headline(page, 'docs_file', 'Cancelled – nothing was stored').waitFor();
}));

/** The server no longer knows the page's session. */
const FOREIGN = {
  status: 403, contentType: 'application/problem+json',
  body: JSON.stringify({ code: 'client_id_foreign', detail: 'This page has been open for too long.', files: [] }),
};

test('what was cancelled while the page renewed itself is not sent', () => withPage({}, async (page) => {
  let sent = 0;
  await page.route('**/upload', (route) => { sent += 1; return route.fulfill(FOREIGN); });
  let renew;
  const asked = new Promise((resolve) => {
    page.route('**/', async (route) => {
      resolve();
      await new Promise((go) => { renew = go; });
      await route.continue();
    });
  });
  await page.setInputFiles('#docs_field', files.pdf('report.pdf', 300_000));
  await button(page).click();
  await asked;
  await page.waitForTimeout(600);
  await button(page).click();
  await state(page, 'docs_file', 'failed');
  const renewed = page.waitForResponse((response) => new URL(response.url()).pathname === '/');
  renew();
  await (await renewed).finished();
  await page.waitForTimeout(300);
  assert.equal(sent, 1);
  await state(page, 'docs_file', 'failed');
}));

test('a stored file that changes afterwards stays stored', () => withPage({}, async (page) => {
  const jpeg = await files.jpeg(page, 'photo.jpg', 200_000);
  await page.setInputFiles('#msa_imgs', jpeg);
  await button(page).click();
  await state(page, 'msa_imgs', 'stored');
  writeFileSync(jpeg, 'changed');
  await page.route('**/upload', (route) => route.abort());
  await page.setInputFiles('#docs_field', files.pdf('report.pdf', 300_000));
  await button(page).click();
  await state(page, 'docs_file', 'failed');
  await state(page, 'msa_imgs', 'stored');
}));

test('the details tell every part, and can be copied', async () => {
  await withState('chosen', (page) => page.locator('details').waitFor({ state: 'hidden' }));
  await withState('storing', async (page) => {
    await page.locator('summary').click();
    const report = page.locator('.report');
    await report.getByText(/^Reference \S{22}\n/).waitFor();
    const lines = (await report.textContent()).trimEnd().split('\n');
    const parts = await page.locator('.part').count();
    assert.ok(parts > 5, `${parts} parts`);
    assert.equal(lines.filter((line) => /^ {2}Part \d+: [\d.]+ .B, (not sent yet|sending|sent|stored)$/.test(line)).length, parts);
    assert.equal(lines.filter((line) => /, stored$/.test(line)).length, 2);
    assert.equal(lines.length, parts + 3, lines.join('\n'));
    await page.getByText('Copy as text').click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await report.textContent());
  }, { permissions: ['clipboard-read', 'clipboard-write'] });
});

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
  // The answer of the POST may come first, which does not know how long it took.
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
