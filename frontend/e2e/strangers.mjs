// What a page of another origin, and a script that got into ours, can do: nothing. Arguments: a PDF's path.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { BASE_URL, button, card, drive, open, state } from './chromium.mjs';

/** A page of another origin that tries everything a browser lets it try; gives what it got. */
async function stranger(browser) {
  const site = createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end('<!DOCTYPE html><title>x</title>'));
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  const page = await browser.contexts()[0].newPage();
  await page.goto(`http://localhost:${site.address().port}/`);
  const got = await page.evaluate(async (server) => {
    const form = new FormData();
    form.append('docs_field', new Blob(['%PDF-1.4 a stranger']), 'stranger.pdf');
    const outcome = (promise) => promise.then((answer) => answer.type, (error) => error.name);
    const socket = (path) => new Promise((resolve) => {
      const opened = new WebSocket(`${server.replace('http', 'ws')}${path}`);
      opened.onopen = () => resolve('open');
      opened.onerror = () => resolve('refused');
    });
    return {
      readable: await outcome(fetch(`${server}/upload`, { method: 'POST', body: form })),
      blind: await outcome(fetch(`${server}/upload`, { method: 'POST', body: form, mode: 'no-cors', credentials: 'include' })),
      deleted: await outcome(fetch(`${server}/uploads/x`, { method: 'DELETE' })),
      page: await outcome(fetch(`${server}/`)),
      socket: await socket('/ws?client_id=stranger'),
      old: await socket('/?client_id=stranger'),
      framed: await new Promise((resolve) => {
        const frame = document.createElement('iframe');
        frame.onload = () => {
          // A frame that was refused holds the browser's own error page, and ours is not to be read either way.
          try { resolve(frame.contentDocument ? 'read' : 'closed'); } catch { resolve('closed'); }
        };
        frame.src = server;
        document.body.append(frame);
      }),
    };
  }, BASE_URL);
  await page.close();
  site.close();
  return got;
}

await drive(async (browser) => {
  const page = await open(browser);
  await page.evaluate(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(event.violatedDirective));
  });
  // A whole upload: the policy is in nobody's way.
  await page.setInputFiles('#docs_field', process.argv[2]);
  await button(page).click();
  await state(page, 'docs_file', 'stored');
  await card(page, 'docs_file').locator('.key code').waitFor();
  assert.deepEqual(await page.evaluate(() => window.violations), []);

  const ran = await page.evaluate(async () => {
    const script = document.createElement('script');
    script.textContent = 'window.ran = "inline"';
    const picture = document.createElement('div');
    picture.innerHTML = '<img src="data:image/gif;base64,AA" onerror="window.ran = \'handler\'">';
    const link = document.createElement('a');
    link.href = 'javascript:window.ran = "address"';
    document.body.append(script, picture, link);
    link.click();
    const sent = await fetch('http://127.0.0.1:12345/').then(() => 'sent', () => 'blocked');
    // Reports are told later than failures.
    await new Promise((resolve) => setTimeout(resolve, 500));
    return { ran: window.ran, sent, violations: window.violations };
  });
  assert.equal(ran.ran, undefined);
  assert.equal(ran.sent, 'blocked');
  for (const directive of ['script-src-elem', 'script-src-attr', 'connect-src', 'img-src']) {
    assert.ok(ran.violations.includes(directive), `${directive}: ${ran.violations}`);
  }

  const got = await stranger(browser);
  assert.deepEqual(got, {
    readable: 'TypeError', blind: 'TypeError', deleted: 'TypeError', page: 'TypeError',
    socket: 'refused', old: 'refused', framed: 'closed',
  });
  console.log('nothing');
});
