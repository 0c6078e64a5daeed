// One picture of every state of the page: light and dark, wide and narrow.
// Run: BASE_URL=http://127.0.0.1:3000 node contact_sheet.mjs [FILE]
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { drive } from './chromium.mjs';
import { names, shown } from './stage.mjs';

const file = process.argv[2] ?? fileURLToPath(new URL('../../docs/states.webp', import.meta.url));
const LOOKS = ['light', 'dark'].flatMap((colorScheme) => [[1280, 352], [360, 99]].map(([width, scaled]) => ({ colorScheme, width, scaled })));

const STYLE = `
  body { margin: 24px; background: #888f98; color: #000; font: 600 15px system-ui, sans-serif; columns: 2; column-gap: 24px; }
  section { break-inside: avoid; margin-block-end: 20px; }
  h2 { margin: 0 0 4px; font-size: 15px; }
  div { display: flex; gap: 6px; align-items: start; }`;

/** The state in every look, each a picture of all that the page has. */
async function pictures(browser, name) {
  const images = [];
  const page = await shown(browser, name);
  for (const { colorScheme, width, scaled } of LOOKS) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 560 });
    const picture = await page.screenshot({ fullPage: true });
    images.push(`<img width="${scaled}" alt="" src="data:image/png;base64,${picture.toString('base64')}">`);
  }
  await page.context().close();
  return `<section><h2>${name}</h2><div>${images.join('')}</div></section>`;
}

await drive(async (browser) => {
  const sections = [];
  for (const name of await names(browser)) sections.push(await pictures(browser, name));
  const page = await browser.newPage({ viewport: { width: 1930, height: 1000 } });
  await page.setContent(`<!DOCTYPE html><style>${STYLE}</style>${sections.join('')}`);
  const devtools = await page.context().newCDPSession(page);
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  const { data } = await devtools.send('Page.captureScreenshot', {
    format: 'webp', quality: 80, captureBeyondViewport: true, clip: { x: 0, y: 0, width: 1930, height, scale: 1.4 },
  });
  writeFileSync(file, Buffer.from(data, 'base64'));
  console.log(`${sections.length} states, ${Math.round(data.length * 0.75 / 1024)} KiB: ${file}`);
});
