// A Chromium and files to send, for the scripts here.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

/** Where the server under test listens. */
export const BASE_URL = process.env.BASE_URL ?? 'http://127.0.0.1:3000';

/** Debian's Chromium; it is closed by whoever opens it. */
export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
  });
}

let answers;

/** Tells the test that runs this script how far it is, and waits until it says go. */
export async function step(word) {
  answers ??= createInterface({ input: process.stdin });
  const told = new Promise((resolve) => answers.once('line', resolve));
  console.log(word);
  await told;
}

/** A script's work, with a browser and files of its own; pages that it opens must not have thrown. */
export async function drive(work) {
  const browser = await launch();
  const files = new Files();
  try {
    await work(browser, files);
    const errors = browser.contexts().flatMap((context) => context.pages()).flatMap((page) => page.errors ?? []);
    if (errors.length > 0) throw new Error(`the page threw: ${errors}`);
  } finally {
    answers?.close();
    files.end();
    await browser.close();
  }
}

/** Limits what the page sends from now on, in bytes a second; -1: no more. */
export async function throttle(page, uploadThroughput) {
  page.devtools ??= await page.context().newCDPSession(page);
  await page.devtools.send('Network.emulateNetworkConditions', {
    offline: false, latency: 0, downloadThroughput: -1, uploadThroughput,
  });
}

/** A page that has come alive. Errors it throws are collected in `page.errors`. */
export async function open(browser, options = {}) {
  const settings = { viewport: { width: 1280, height: 860 }, baseURL: BASE_URL, ...options };
  const context = await browser.newContext(settings);
  const page = await context.newPage();
  page.errors = [];
  page.on('pageerror', (error) => page.errors.push(error.message));
  await page.goto('./');
  if (options.javaScriptEnabled !== false) await page.waitForSelector('main[data-awake]');
  return page;
}

/** Loads the page anew; resolves with the server's answer when it has come alive. */
export async function reload(page) {
  const answer = await page.reload();
  await page.waitForSelector('main[data-awake]');
  return answer;
}

/** The address of each POST that the page sends from now on. */
export function posts(page) {
  const sent = [];
  page.on('request', (request) => request.method() === 'POST' && sent.push(request.url()));
  return sent;
}

/** A folder for made files; `end` removes it. */
export class Files {
  #folder = mkdtempSync(join(tmpdir(), 'bucket-brigade-e2e-'));

  #write(name, ...pieces) {
    const path = join(this.#folder, name);
    writeFileSync(path, Buffer.concat(pieces.map((piece) => Buffer.from(piece))));
    return path;
  }

  /** A PDF that readers open: one empty page, padded by a stream to about `bytes`. */
  pdf(name, bytes) {
    const objects = [
      '<</Type/Catalog/Pages 2 0 R>>',
      '<</Type/Pages/Kids[3 0 R]/Count 1>>',
      '<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>',
      `<</Length ${bytes}>>stream\n${'0123456789abcdef'.repeat(Math.ceil(bytes / 16)).slice(0, bytes)}\nendstream`,
    ];
    let text = '%PDF-1.4\n';
    const offsets = objects.map((object, place) => {
      const at = text.length;
      text += `${place + 1} 0 obj${object}endobj\n`;
      return `${String(at).padStart(10, '0')} 00000 n \n`;
    });
    const table = `xref\n0 5\n0000000000 65535 f \n${offsets.join('')}`;
    const start = text.length;
    text += `${table}trailer<</Size 5/Root 1 0 R>>\nstartxref\n${start}\n%%EOF\n`;
    return this.#write(name, text);
  }

  /** A JPEG drawn by the browser, followed by padding that decoders skip. */
  async jpeg(page, name, bytes) {
    const base64 = await page.evaluate(() => {
      const canvas = document.createElement('canvas');
      canvas.width = 480;
      canvas.height = 360;
      const context = canvas.getContext('2d');
      const sky = context.createLinearGradient(0, 0, 0, 360);
      sky.addColorStop(0, '#3f7cc4');
      sky.addColorStop(0.6, '#f2c48d');
      sky.addColorStop(0.61, '#2d5a46');
      sky.addColorStop(1, '#16331f');
      context.fillStyle = sky;
      context.fillRect(0, 0, 480, 360);
      context.fillStyle = '#fff3d6';
      context.arc(330, 130, 38, 0, 7);
      context.fill();
      return canvas.toDataURL('image/jpeg', 0.9).split(',')[1];
    });
    const image = Buffer.from(base64, 'base64');
    return this.#write(name, image, Buffer.alloc(Math.max(0, bytes - image.length)));
  }

  /** An empty folder. */
  folder(name) {
    const path = join(this.#folder, name);
    mkdirSync(path);
    return path;
  }

  /** Exactly these bytes. */
  raw(name, bytes) {
    return this.#write(name, bytes);
  }

  end() {
    rmSync(this.#folder, { recursive: true });
  }
}

/** The card of one file. */
export function card(page, type) {
  return page.locator(`.card[data-file-type="${type}"]`);
}

/** The page's one button. */
export function button(page) {
  return page.locator('form .primary');
}

/** The line of a card's bars that says how far it is, or how it ended; with a text, once it says that. */
export function headline(page, type, text = '') {
  return card(page, type).locator('.bars .headline', { hasText: text });
}

/** Resolves when an alert says this, for whoever cannot see the page. */
export function alerted(page, text) {
  return page.locator('[role=alert]', { hasText: text }).waitFor({ state: 'attached' });
}

/** Resolves when the focus is on the card's button to try again. */
export function retryFocused(page, field) {
  return page.waitForFunction((id) => document.activeElement?.id === id, `${field}-retry`);
}

/** Resolves when the card says so. */
export function state(page, type, name, timeout = 60_000) {
  const selector = `.card[data-file-type="${type}"][data-state="${name}"]`;
  return page.waitForSelector(selector, { timeout });
}
