// A short moving picture of a real upload: the browser is quick, the store slow, and the two lanes tell them apart. Part 2
// is refused, and sent again. Anybody sees the same with the switches below (docs/see-for-yourself.md).
// Run: node animation.mjs PATH_OF_THE_BINARY [FILE]     (needs img2webp: apt install webp)
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { button, drive, open, throttle } from './chromium.mjs';
import { endAll, start } from './servers.mjs';

const file = process.argv[3] ?? fileURLToPath(new URL('../../docs/upload.webp', import.meta.url));
const SWITCHES = ['--store-rate', '3200kB', '--store-fail-part', '2'];
const EVERY_MS = 100;
/** How long the first and the last picture stay. */
const PAUSE_MS = 1500;

/** What is seen until both are stored, each picture with its time. */
async function film(page) {
  const frames = [];
  const shoot = async () => {
    const at = Date.now();
    frames.push({ at, picture: await page.screenshot() });
    await page.waitForTimeout(Math.max(0, at + EVERY_MS - Date.now()));
  };
  await shoot();
  await button(page).click();
  const isOver = () => page.evaluate(() => document.querySelectorAll('.card[data-state="stored"]').length === 2);
  while (!(await isOver())) await shoot();
  await page.locator('[data-file-type="docs_file"] .key code', { hasText: '/' }).waitFor();
  await page.mouse.move(0, 0);
  await shoot();
  return frames;
}

/** As Debian's img2webp takes them: every picture after the time that it stays. */
function encode(frames) {
  const folder = mkdtempSync(join(tmpdir(), 'bucket-brigade-film-'));
  const names = frames.map(({ at, picture }, place) => {
    const name = join(folder, `${place}.png`);
    writeFileSync(name, picture);
    const isEdge = place === 0 || place === frames.length - 1;
    return ['-d', String(isEdge ? PAUSE_MS : frames[place + 1].at - at), '-lossy', '-q', '70', '-m', '6', name];
  });
  execFileSync('img2webp', ['-loop', '0', '-min_size', ...names.flat(), '-o', file]);
  rmSync(folder, { recursive: true });
}

try {
  const { port } = await start('server', ['--store-listen', '127.0.0.1:0', ...SWITCHES]);
  await drive(async (browser, files) => {
    const page = await open(browser, { baseURL: `http://127.0.0.1:${port}`, viewport: { width: 960, height: 680 } });
    await page.setInputFiles('#docs_field', files.pdf('annual-report-2026-final.pdf', 24_100_000));
    await page.setInputFiles('#msa_imgs', await files.jpeg(page, 'site-photo.jpg', 3_100_000));
    await throttle(page, 5_000_000);
    const frames = await film(page);
    encode(frames);
    const seconds = (frames.at(-1).at - frames[0].at) / 1000;
    console.log(`${frames.length} pictures of ${seconds} s, ${Math.round(statSync(file).size / 1024)} KiB: ${file}`);
  });
} finally {
  endAll();
}
