// Records what the real server says of uploads that go well, wait, fail or are cancelled: the frames of its progress
// socket and the answer of the POST. Writes recorded.js, from which states.js shows every state of the page.
// Run: node record.mjs PATH_OF_THE_BINARY
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { end, endAll, startBefore, startStore, storeProxy } from './servers.mjs';

const MB = 1_000_000;
/** What a state of the page needs to be told from the next one, and no more. */
const GAP_MS = 300;

const pdf = (size, name = 'annual-report-2026-final.pdf') => ({ field: 'docs_field', name, size, head: '%PDF-1.7\n' });
const jpeg = (size, name = 'site-photo.jpg') => ({ field: 'msa_imgs', name, size, head: JPEG });
/** Start, a frame of 480 x 360 pixels, and the scan. */
const JPEG = Buffer.from('ffd8ffe000104a46494600010100000100010000ffc0000b08016801e001011100ffda0008010100003f00', 'hex');
const BOTH = [pdf(24.1 * MB), jpeg(3.1 * MB)];

/** One form, written at a pace of bytes a second; `at` does something before the first byte past each place. */
function post(port, files, { rate, at = [], client = 'recorder' }) {
  const boundary = 'record-boundary';
  const pieces = files.map(({ field, name, size, head }) => {
    const body = Buffer.alloc(size, 'bucket brigade ');
    Buffer.from(head).copy(body);
    return [Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="${field}"; filename="${name}"\r\nContent-Type: application/octet-stream\r\n\r\n`), body, Buffer.from('\r\n')];
  });
  const form = Buffer.concat([...pieces.flat(), Buffer.from(`--${boundary}--\r\n`)]);
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}`, 'content-length': form.length, 'x-client-id': client };
  for (const { field, size } of files) {
    headers[field === 'docs_field' ? 'x-docs-filesize' : 'x-image-filesize'] = size;
  }
  const request = http.request({ port, host: '127.0.0.1', method: 'POST', path: '/upload', headers, agent: false });
  const answered = new Promise((resolve) => {
    request.on('error', () => resolve(null));
    request.on('response', async (response) => {
      let text = '';
      try {
        for await (const chunk of response) text += chunk;
        resolve({ status: response.statusCode, retryAfter: response.headers['retry-after'], body: JSON.parse(text) });
      } catch {
        resolve(null);
      }
    });
  });
  const ended = new Promise((resolve) => { request.on('close', resolve); });
  const write = async () => {
    const step = 64 * 1024;
    const began = Date.now();
    let paused = 0;
    for (let place = 0; place < form.length && !request.destroyed; place += step) {
      const due = at.filter((one) => one.bytes <= place && !one.done);
      for (const one of due) {
        one.done = true;
        const before = Date.now();
        await one.work(request);
        paused += Date.now() - before;
      }
      if (request.destroyed) return;
      if (!request.write(form.subarray(place, place + step))) {
        await Promise.race([new Promise((resolve) => { request.once('drain', resolve); }), ended]);
      }
      const early = rate ? began + paused + ((place + step) * 1000) / rate - Date.now() : 0;
      if (early > 0) await sleep(early);
    }
    request.end();
  };
  write().catch(() => {});
  return { request, answered };
}

/** Whatever tells one state of the page from another. */
function kindOf(message) {
  const { status, part_states, waiting, retries, code, sent, received, total } = message;
  return JSON.stringify([status, part_states, waiting, retries, code, sent === 0, received === 0, sent === total]);
}

/** Of a stream that says everything 30 times a second, what is seen: each new state, and movement now and then. */
function thin(stream) {
  const last = {};
  return stream.filter(([at, message]) => {
    const before = last[message.file_type];
    const isNew = !before || before.kind !== kindOf(message) || at - before.at >= GAP_MS;
    if (isNew) last[message.file_type] = { at, kind: kindOf(message) };
    return isNew;
  });
}

const recordings = {};

/** Uploads `files` to a server of its own whose store has `manners`; `act` may use the socket. */
async function record(name, store, files, options = {}) {
  const proxy = await storeProxy(store);
  proxy.manners = options.manners ?? {};
  const server = await startBefore(proxy, name, options.flags);
  const { port } = server;
  const stream = [];
  let began;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?client_id=recorder`);
  socket.on('error', () => {});
  await once(socket, 'open');
  const open = new Set(files.map(({ field }) => (field === 'docs_field' ? 'docs_file' : 'msa_imgs')));
  const settled = new Promise((resolve) => {
    socket.on('close', resolve);
    socket.on('message', (data) => {
      const message = JSON.parse(data);
      stream.push([Date.now() - began, message]);
      options.onMessage?.(message, socket);
      if (['completed', 'error'].includes(message.status)) open.delete(message.file_type);
      if (open.size === 0) resolve();
    });
  });
  const other = await options.before?.({ port, server, proxy });
  began = Date.now();
  const sent = post(port, files, { ...options, at: (options.at ?? []).map((one) => ({ ...one, work: (request) => one.work({ request, server, proxy }) })) });
  const answer = await sent.answered;
  const answeredAt = Date.now() - began;
  // A request that was refused as a whole has no messages.
  await Promise.race([settled, sleep(answer?.body.files.length === 0 ? 500 : 5000)]);
  recordings[name] = {
    files: files.map(({ field, name: called, size }) => ({ field, name: called, size })),
    messages: thin(stream),
    answer: answer && { at: answeredAt, ...answer },
  };
  console.log(`${name}: ${stream.length} messages, ${recordings[name].messages.length} kept, answer ${answer?.status} ${answer?.body.code ?? ''}`);
  socket.terminate();
  other?.();
  await end(server);
  proxy.close();
}

const isPart = (part) => (call) => call.isPut && call.part === part;
/** Does something once. */
function first(matches, result) {
  let done = false;
  return (call) => (!done && matches(call) ? ((done = true), result) : undefined);
}

try {
  const store = await startStore();

  await record('both', store, BOTH, {
    rate: 4 * MB,
    manners: { rate: 3 * MB, after: (call) => call.isComplete && sleep(2500) },
  });
  await record('image', store, [jpeg(3.1 * MB)], { rate: 3 * MB });
  await record('eventful', store, [pdf(24.1 * MB)], {
    rate: 6 * MB,
    manners: {
      refuse: first(isPart(2), [500, 'InternalError']),
      after: (call) => isPart(4)(call) && sleep(3500),
    },
    at: [{ bytes: 8 * MB, work: () => sleep(3000) }],
  });
  await record('cancelled', store, BOTH, {
    rate: 5 * MB,
    onMessage(message, socket) {
      if (message.received > 4 * MB) socket.send(JSON.stringify({ cancel: message.upload_id }));
    },
  });
  await record('client_gone', store, BOTH, { rate: 8 * MB, at: [{ bytes: 14 * MB, work: ({ request }) => request.destroy() }] });
  await record('one_failed', store, [BOTH[0], { ...jpeg(3.1 * MB), head: '%PDF-1.7\n' }], { rate: 12 * MB });
  await record('type_mismatch', store, [{ ...pdf(4 * MB), head: 'plain text ' }, BOTH[1]], { rate: 12 * MB });
  await record('too_large', store, [pdf(4 * MB)], { rate: 12 * MB, flags: ['--max-document-size', '1MiB'] });
  await record('storage_unreachable', store, [pdf(24.1 * MB)], {
    rate: 12 * MB,
    at: [{ bytes: 12 * MB, work: ({ proxy }) => { proxy.manners = { refuse: () => 'cut' }; } }],
  });
  await record('storage_config', store, [pdf(24.1 * MB)], { rate: 12 * MB, manners: { refuse: () => [403, 'AccessDenied'] } });
  await record('integrity', store, [jpeg(3.1 * MB)], { rate: 12 * MB, manners: { alter: true } });
  await record('unknown', store, [pdf(24.1 * MB)], {
    rate: 12 * MB,
    manners: {
      // What became of Complete is never told.
      after(call, proxy) {
        if (call.isComplete) proxy.manners = { refuse: () => 'cut' };
      },
    },
  });
  const occupied = { before: async ({ port }) => {
    const held = post(port, [pdf(20 * MB)], { rate: MB / 4, client: 'another' });
    await sleep(500);
    return () => held.request.destroy();
  } };
  await record('busy', store, [pdf(4 * MB)], { ...occupied, rate: 12 * MB, flags: ['--max-uploads', '1'] });
  await record('rate_limited', store, [pdf(4 * MB)], { ...occupied, rate: 12 * MB, flags: ['--max-uploads-per-address', '1'] });
  await record('server_shutdown', store, [pdf(24.1 * MB)], {
    rate: 4 * MB,
    flags: ['--shutdown-grace', '1s'],
    at: [{ bytes: 8 * MB, work: ({ server }) => { server.child.kill('SIGTERM'); } }],
  });
} finally {
  endAll();
}

const lines = Object.entries(recordings).map(([name, { files, messages, answer }]) => {
  const list = messages.map((one) => `    ${JSON.stringify(one)},\n`).join('');
  return `  ${name}: {\n    files: ${JSON.stringify(files)},\n    answer: ${JSON.stringify(answer)},\n    messages: [\n${list}    ],\n  },\n`;
});
writeFileSync(
  new URL('recorded.js', import.meta.url),
  `// What the server said of uploads, [milliseconds, message]. Made by record.mjs: do not edit.\nwindow.recordings = {\n${lines.join('')}};\n`,
);
