// The real server in front of a store that is slow or breaks: a second process of the same binary, behind a proxy of ours.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const KEYS = { access: 'slow', secret: 'slow-store-secret' };
const folder = mkdtempSync(join(tmpdir(), 'bucket-brigade-servers-'));
const children = [];

/** The binary with these flags, once it listens. */
export async function start(name, flags, environment = {}) {
  const child = spawn(process.argv[2], [...flags, '--listen', '127.0.0.1:0', '--data-dir', join(folder, name), '--log-format', 'text'], {
    env: { PATH: process.env.PATH, RUST_LOG: 'info', NO_COLOR: '1', AWS_REGION: 'us-east-1', AWS_EC2_METADATA_DISABLED: 'true', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let said = '';
  const port = await new Promise((resolve, reject) => {
    const hear = (data) => {
      said += data;
      const found = /bucket-brigade starts.*?listen=\S*?127\.0\.0\.1:(\d+)/.exec(said);
      if (found) resolve(Number(found[1]));
    };
    child.stderr.on('data', hear);
    child.stdout.on('data', hear);
    child.on('exit', (code) => reject(new Error(`${name} ended with ${code}: ${said}`)));
  });
  return { child, port };
}

/** Ends a server, and waits until it has. */
export async function end({ child }) {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** The way to the store: `manners` may slow bodies (bytes a second), change them, refuse a request, or hold its answer. */
export async function storeProxy(port) {
  const proxy = { manners: {}, free: 0 };
  const server = http.createServer(async (request, response) => {
    const { searchParams } = new URL(request.url, 'http://store');
    const call = {
      part: Number(searchParams.get('partNumber')),
      isComplete: request.method === 'POST' && searchParams.has('uploadId'),
      isPut: request.method === 'PUT',
    };
    const { refuse, rate, after, alter } = proxy.manners;
    const refusal = refuse?.(call);
    if (refusal === 'cut') return request.socket.destroy();
    if (refusal) {
      request.resume();
      const [status, code] = refusal;
      response.writeHead(status, { 'content-type': 'application/xml' });
      return response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`);
    }
    const onward = http.request({ port, host: '127.0.0.1', method: request.method, path: request.url, headers: request.headers });
    onward.on('error', () => response.destroy());
    onward.on('response', async (answer) => {
      await after?.(call, proxy);
      if (proxy.manners.refuse?.(call)) return request.socket.destroy();
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    response.on('close', () => response.writableFinished || onward.destroy());
    try {
      let first = true;
      for await (const chunk of request) {
        if (first && call.isPut && alter) chunk[chunk.length >> 1] ^= 1;
        first = false;
        if (rate && call.isPut) {
          // All of them share one line.
          proxy.free = Math.max(proxy.free, Date.now()) + (chunk.length * 1000) / rate;
          await sleep(proxy.free - Date.now());
        }
        if (!onward.write(chunk)) await once(onward, 'drain');
      }
      onward.end();
    } catch {
      onward.destroy();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  proxy.port = server.address().port;
  proxy.close = () => (server.close(), server.closeAllConnections());
  return proxy;
}

/** A store alone; resolves with its port. */
export async function startStore() {
  const listener = http.createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address();
  listener.close();
  await once(listener, 'close');
  await start('store', ['--store-listen', `127.0.0.1:${port}`, '--store-access-key', KEYS.access, '--store-secret-key', KEYS.secret]);
  return port;
}

/** A server that stores by way of the proxy. */
export function startBefore(proxy, name, flags = []) {
  return start(name, ['--bucket', 'uploads', ...flags], {
    AWS_ENDPOINT_URL: `http://127.0.0.1:${proxy.port}`, AWS_ACCESS_KEY_ID: KEYS.access, AWS_SECRET_ACCESS_KEY: KEYS.secret,
  });
}

/** Ends what still runs, and removes what it has stored. */
export function endAll() {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
