// An upload from a page that came over https, through a proxy that ends TLS. Run: node https.mjs PDF
import assert from 'node:assert/strict';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { BASE_URL, button, card, drive, open, reload, state } from './chromium.mjs';

/** Passes on what it gets over https, and says so as proxies do. */
async function terminator() {
  const read = (name) => readFileSync(new URL(`../../server/tests/data/${name}`, import.meta.url));
  const key = createPrivateKey({ key: read('self-signed.key.der'), format: 'der', type: 'pkcs8' });
  const proxy = https.createServer({
    key: key.export({ format: 'pem', type: 'pkcs8' }),
    cert: new X509Certificate(read('self-signed.der')).toString(),
  });
  const forward = ({ method, url, headers, socket }) => http.request(new URL(url, BASE_URL), {
    method,
    headers: { ...headers, 'x-forwarded-proto': 'https', 'x-forwarded-for': socket.remoteAddress },
  });
  proxy.on('request', (request, answer) => {
    const asked = forward(request).on('response', (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    asked.on('error', () => answer.destroy());
    request.pipe(asked);
  });
  proxy.on('upgrade', (request, client) => {
    forward(request).on('upgrade', (got, server, begun) => {
      const headers = Object.entries(got.headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
      client.write(`HTTP/1.1 101 Switching Protocols\r\n${headers}\r\n`);
      client.write(begun);
      for (const socket of [client, server]) socket.on('error', () => (client.destroy(), server.destroy()));
      client.pipe(server).pipe(client);
    }).end();
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return proxy;
}

await drive(async (browser) => {
  const proxy = await terminator();
  const host = `127.0.0.1:${proxy.address().port}`;
  const page = await open(browser, { baseURL: `https://${host}`, ignoreHTTPSErrors: true });
  const sockets = [];
  let heard = 0;
  page.on('websocket', (socket) => {
    sockets.push(new URL(socket.url()));
    socket.on('framereceived', () => (heard += 1));
  });
  const came = await reload(page);
  assert.match(came.headers()['strict-transport-security'], /^max-age=[1-9]/);

  await page.setInputFiles('#docs_field', process.argv[2]);
  await button(page).click();
  await state(page, 'docs_file', 'stored');
  await card(page, 'docs_file').locator('.key code', { hasText: /^supporting_documents\// }).waitFor();

  assert.ok(sockets.length > 0 && heard > 0, 'it has heard of its upload');
  for (const { protocol, host: of, pathname } of sockets) {
    assert.deepEqual({ protocol, of, pathname }, { protocol: 'wss:', of: host, pathname: '/ws' });
  }
  const cookies = await page.context().cookies();
  const sessions = cookies.filter(({ name }) => name.startsWith('__Host-'));
  assert.equal(sessions.length, 1, JSON.stringify(cookies));
  for (const { name, secure, httpOnly } of cookies) assert.ok(secure && httpOnly, name);
  assert.equal(sessions[0].sameSite, 'Strict');
  await page.close();
  proxy.closeAllConnections();
  proxy.close();
  console.log('stored');
});
