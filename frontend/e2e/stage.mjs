// The real page in a state that no server has brought it to: see states.js.
import { fileURLToPath } from 'node:url';
import { BASE_URL } from './chromium.mjs';

const SCRIPTS = ['recorded.js', 'states.js'].map((name) => fileURLToPath(new URL(name, import.meta.url)));

/**
 * A page whose socket and POST are played, with a clock to wind if asked for, and after `prepare`; errors are in
 * `page.errors`.
 */
export async function stage(browser, path, { hasClock = false, prepare, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, baseURL: BASE_URL, ...options });
  const page = await context.newPage();
  // Before the scripts, which keep the timers that they find.
  if (hasClock) await page.clock.install();
  await prepare?.(page);
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(error.message));
  for (const script of SCRIPTS) await page.addInitScript({ path: script });
  await page.goto(path);
  return page;
}

/** A page that shows the state and stands still. */
export async function shown(browser, name, options) {
  const page = await stage(browser, `/?state=${name}`, options);
  await page.waitForFunction(() => document.documentElement.dataset.shown, null, { timeout: 15_000 }).catch(() => {
    throw new Error(`${name}: ${page.errors.join() || 'not shown'}`);
  });
  return page;
}

/** The names of all states. */
export async function names(browser) {
  const page = await stage(browser, '/');
  const all = await page.evaluate(() => window.states);
  await page.context().close();
  return all;
}
