// Whether everyone can use the page, in every state that it has.
// Run: node everyone.mjs states|keyboard|announcements
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { button, card, drive, open, state, throttle } from './chromium.mjs';
import { names, shown, stage } from './stage.mjs';

const AXE = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const LOOKS = [{ colorScheme: 'light' }, { colorScheme: 'dark' }, { colorScheme: 'light', forcedColors: 'active' }];

/** What axe finds. */
async function violations(page) {
  await page.evaluate(AXE);
  const found = [];
  for (const look of LOOKS) {
    await page.emulateMedia({ forcedColors: 'none', ...look });
    const result = await page.evaluate((values) => window.axe.run(document, {
      runOnly: { type: 'tag', values }, resultTypes: ['violations'],
    }), TAGS);
    found.push(...result.violations.map(({ id, nodes }) => `${Object.values(look).join(' ')}: ${id}: ${nodes.map(({ target }) => target).join()}`));
  }
  await page.emulateMedia({ colorScheme: 'light', forcedColors: 'none' });
  return found;
}

/** What is cut off, sticks out or is too small to hit. */
function misfits() {
  const root = document.documentElement;
  const found = [];
  if (root.scrollWidth > root.clientWidth) found.push(`scrolls sideways, ${root.scrollWidth} of ${root.clientWidth}`);
  const isUnseen = (element) => element.closest('.unseen') || getComputedStyle(element).clipPath === 'inset(50%)';
  const called = (element) => `${element.localName}.${element.className}`;
  for (const element of document.body.querySelectorAll('*')) {
    if (!element.checkVisibility({ visibilityProperty: true }) || isUnseen(element)) continue;
    const box = element.getBoundingClientRect();
    const hasText = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (hasText) {
      const isBlock = getComputedStyle(element).display !== 'inline';
      if (isBlock && element.scrollWidth > element.clientWidth) found.push(`text is cut: ${called(element)}`);
      if (isBlock && element.scrollHeight > element.clientHeight && getComputedStyle(element).overflowY !== 'visible') found.push(`text is cut below: ${called(element)}`);
      if (box.left < 0 || box.right > root.clientWidth) found.push(`text sticks out: ${called(element)}`);
    }
    if (element.matches('a, button, input, label, summary') && Math.min(box.width, box.height) < 24) {
      found.push(`small target: ${called(element)}, ${box.width} x ${box.height}`);
    }
  }
  return found;
}

/** WCAG 1.4.12. */
const SPACED = `* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }
  p { margin-block-end: 2em !important; }`;

/** Reflow, zoom, reading direction and text spacing. */
async function cramped(page) {
  const found = [];
  const look = async (where) => found.push(...(await page.evaluate(misfits)).map((what) => `${where}: ${what}`));
  const own = await page.evaluate(() => document.documentElement.dir);
  const turn = (direction) => page.evaluate((dir) => { document.documentElement.dir = dir; }, direction);
  for (const [where, width, height] of [['1280 px', 1280, 860], ['320 px', 320, 800], ['400 %', 320, 215]]) {
    await page.setViewportSize({ width, height });
    await look(where);
    await turn('rtl');
    await look(`${where}, from right to left`);
    await turn(own);
  }
  await page.evaluate((text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    document.adoptedStyleSheets = [sheet];
  }, SPACED);
  await look('400 %, spaced');
  await page.setViewportSize({ width: 1280, height: 860 });
  await look('1280 px, spaced');
  return found;
}

/** What would move for whoever wants no motion. */
async function motion(page) {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  return page.evaluate(() => {
    const moves = [];
    for (const element of document.querySelectorAll('*')) {
      for (const pseudo of [null, '::before', '::after']) {
        const style = getComputedStyle(element, pseudo);
        const times = `${style.transitionDuration}, ${style.animationName === 'none' ? '0s' : style.animationDuration}`;
        if (times.split(', ').some((time) => parseFloat(time) > 0)) moves.push(`${element.localName}.${element.className} moves: ${times}`);
      }
    }
    return moves;
  });
}

/** Collects what is wrong in all states, so that one run tells everything. */
async function states(browser) {
  const wrong = [];
  for (const name of await names(browser)) {
    console.log(name);
    try {
      const page = await shown(browser, name);
      for (const check of [violations, cramped, motion]) {
        for (const problem of await check(page)) wrong.push(`${name}: ${problem}`);
      }
      for (const error of page.errors) wrong.push(`${name}: threw ${error}`);
      await page.context().close();
    } catch (error) {
      wrong.push(`${name}: ${error.message}`);
    }
  }
  assert.deepEqual(wrong, []);
}

/** Goes on by Tab to what matches; each stop on the way must be seen, and come later in the page. */
async function tabTo(page, selector) {
  for (let stops = 0; stops < 30; stops += 1) {
    await page.evaluate(() => { window.before = document.activeElement; });
    await page.keyboard.press('Tab');
    const stop = await page.evaluate((wanted) => {
      const now = document.activeElement;
      const label = now.labels?.[0];
      const ring = [now, label].some((element) => {
        if (!element) return false;
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
      });
      const isBody = now === document.body;
      const isLater = window.before === document.body || Boolean(window.before.compareDocumentPosition(now) & Node.DOCUMENT_POSITION_FOLLOWING);
      return { name: now.id || now.className || now.localName, ring, isBody, isLater, isWanted: now.matches(wanted) };
    }, selector);
    assert.ok(!stop.isBody, `Tab did not come to ${selector}`);
    assert.ok(stop.ring, `the focus on ${stop.name} cannot be seen`);
    assert.ok(stop.isLater, `Tab went back to ${stop.name}`);
    if (stop.isWanted) return;
  }
  assert.fail(`${selector} is not reached by Tab`);
}

/** The focus never falls back to the page's beginning. */
async function hasFocus(page, when) {
  assert.notEqual(await page.evaluate(() => document.activeElement.localName), 'body', `the focus is lost ${when}`);
}

/** Against the real server: nothing but Tab, Enter and what a file dialog does. */
async function keyboard(browser, files) {
  const page = await open(browser, { permissions: ['clipboard-read', 'clipboard-write'] });
  const inDocument = (selector) => `.card[data-file-type="docs_file"] ${selector}`;
  const again = async (selector) => {
    // From the top.
    await page.mouse.click(1, 1);
    await tabTo(page, selector);
  };
  await tabTo(page, '#docs_field');
  await page.setInputFiles('#docs_field', files.pdf('report.pdf', 12_000_000));
  await state(page, 'docs_file', 'chosen');
  await hasFocus(page, 'after choosing');

  console.log('removed');
  await tabTo(page, inDocument('.remove'));
  await page.keyboard.press('Enter');
  await state(page, 'docs_file', 'empty');
  await hasFocus(page, 'after removing');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'docs_field');

  console.log('cancelled');
  await page.setInputFiles('#docs_field', files.pdf('report.pdf', 12_000_000));
  await tabTo(page, '#msa_imgs');
  await tabTo(page, '.primary');
  await throttle(page, 2_000_000);
  await page.keyboard.press('Enter');
  await state(page, 'docs_file', 'running');
  await page.waitForSelector('[data-file-type="docs_file"] .bars:not([data-received="0"])');
  await hasFocus(page, 'while it uploads');
  await page.waitForTimeout(600);
  await page.keyboard.press('Enter');
  await state(page, 'docs_file', 'cancelled', 10_000);
  await hasFocus(page, 'after the cancel');

  console.log('stored');
  await throttle(page, -1);
  await again(inDocument('.retry'));
  await page.keyboard.press('Enter');
  await state(page, 'docs_file', 'stored');
  await card(page, 'docs_file').locator('.key code', { hasText: /^supporting_documents\// }).waitFor();
  await hasFocus(page, 'after trying again');
  await again(inDocument('.key a'));
  await tabTo(page, inDocument('.key button'));
  await page.keyboard.press('Enter');
  await card(page, 'docs_file').locator('.key button', { hasText: 'Copied' }).waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^supporting_documents\//);

  console.log('once more');
  await tabTo(page, '.primary');
  await page.keyboard.press('Enter');
  await state(page, 'docs_file', 'empty');
  await hasFocus(page, 'when there is room for more');
  await page.setInputFiles('#docs_field', files.raw('fail.pdf', Buffer.alloc(2_000_000, 1)));
  await tabTo(page, '.primary');
  await page.keyboard.press('Enter');
  await state(page, 'docs_file', 'failed');
  await hasFocus(page, 'after a failure');
  assert.equal(await button(page).isEnabled(), true);
}

/** A minute of both files, on the browser's own clock wound forward. */
async function announcements(browser) {
  const page = await stage(browser, '/', { hasClock: true });
  await page.waitForSelector('main[data-awake]');
  await page.evaluate(() => {
    window.said = [];
    window.values = [];
    for (const region of document.querySelectorAll('[role=status], [role=alert]')) {
      const listen = () => region.textContent && window.said.push(region.textContent);
      new MutationObserver(listen).observe(region, { childList: true, characterData: true, subtree: true });
    }
    for (const bars of document.querySelectorAll('.bars')) {
      const lane = bars.querySelector('[role=progressbar]');
      const look = () => window.values.push([lane.getAttribute('aria-valuenow'), bars.dataset.status]);
      new MutationObserver(look).observe(bars, { attributes: true, subtree: true });
    }
    window.playUpload({ seconds: 60, perSecond: 30 }).then(() => { window.isOver = true; });
  });
  for (let second = 0; second < 64; second += 1) await page.clock.runFor(1000);
  await page.waitForFunction(() => window.isOver, null, { timeout: 5_000 });
  await state(page, 'docs_file', 'stored');
  await state(page, 'msa_imgs', 'stored');
  const { said, values } = await page.evaluate(() => ({ said: window.said, values: window.values }));
  console.log(said.join('\n'));
  assert.ok(values.length > 1000, 'the bars were watched');
  const early = values.filter(([now, status]) => now === '100' && status !== 'completed');
  assert.deepEqual(early, []);
  assert.ok(said.length >= 2 && said.length <= 8, `${said.length} announcements: ${said.join(' | ')}`);
  assert.deepEqual(page.errors, []);
}

const checks = { states, keyboard, announcements };
await drive((browser, files) => checks[process.argv[2]](browser, files));
