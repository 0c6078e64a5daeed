// A way to the server that takes a whole request before it passes any of it on, as nginx does unless told otherwise.
import { createServer, request } from 'node:http';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { BASE_URL } from './chromium.mjs';

export async function buffering() {
  const { hostname, port } = new URL(BASE_URL);
  const relay = createServer(async (asked, answer) => {
    const { method, url: path, headers } = asked;
    const body = await buffer(asked);
    request({ hostname, port, method, path, headers }, (answered) => {
      answer.writeHead(answered.statusCode, answered.headers);
      answered.pipe(answer);
    }).end(body);
  });
  relay.on('upgrade', (asked, client, head) => {
    const server = connect(Number(port), hostname);
    const end = () => (client.destroy(), server.destroy());
    for (const socket of [client, server]) socket.on('error', end).on('close', end);
    const fields = asked.rawHeaders.map((text, place) => (place % 2 ? `${text}\r\n` : `${text}: `)).join('');
    server.write(`GET ${asked.url} HTTP/1.1\r\n${fields}\r\n`);
    server.write(head);
    client.pipe(server).pipe(client);
  });
  await new Promise((resolve) => relay.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${relay.address().port}`, end: () => (relay.close(), relay.closeAllConnections()) };
}
