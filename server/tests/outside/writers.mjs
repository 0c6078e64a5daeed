// Uploads one form with the named writer; prints status and answer. Started by writers.py, with the directory of the
// npm packages and what is asked as JSON.
import { createReadStream, openAsBlob } from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

const [packages, asked] = process.argv.slice(2);
const { writer, url, headers, files } = JSON.parse(asked);
const load = createRequire(join(packages, "packages.js"));
// For packages that are modules.
const bring = (name) => import(pathToFileURL(load.resolve(name)));

// The names are the platform's; undici has its own FormData.
async function standard(form) {
  for (const { field, name, path, type } of files) form.append(field, await openAsBlob(path, { type }), name);
  return form;
}

function piped() {
  const FormData = load("form-data");
  const form = new FormData();
  for (const { field, path, type } of files)
    form.append(field, createReadStream(path), { filename: basename(path), contentType: type });
  return form;
}

const answered = async (answer) => [answer.status, await answer.text()];

async function send(form, more) {
  const answer = await new Promise((resolve, reject) => {
    const sent = request(url, { method: "POST", headers: { ...headers, ...form.getHeaders(), ...more } }, resolve);
    sent.on("error", reject);
    form.pipe(sent);
  });
  return [answer.statusCode, await text(answer)];
}

const writers = {
  fetch: async () => answered(await fetch(url, { method: "POST", headers, body: await standard(new FormData()) })),
  "fetch-chunked": async () => {
    const encoded = new Response(await standard(new FormData()));
    const type = encoded.headers.get("content-type");
    const options = { method: "POST", headers: { ...headers, "content-type": type }, duplex: "half" };
    return answered(await fetch(url, { ...options, body: encoded.body }));
  },
  undici: async () => {
    const undici = load("undici");
    const body = await standard(new undici.FormData());
    return answered(await undici.fetch(url, { method: "POST", headers, body }));
  },
  "undici-request": async () => {
    const undici = load("undici");
    const body = await standard(new undici.FormData());
    const answer = await undici.request(url, { method: "POST", headers, body });
    return [answer.statusCode, await answer.body.text()];
  },
  "form-data": async () => {
    const form = piped();
    const length = await new Promise((resolve, reject) => form.getLength((error, n) => (error ? reject(error) : resolve(n))));
    return send(form, { "Content-Length": length });
  },
  "form-data-chunked": () => send(piped(), {}),
  axios: async () => {
    const options = { headers, proxy: false, validateStatus: () => true, responseType: "text", transformResponse: (body) => body };
    const answer = await load("axios").post(url, await standard(new FormData()), options);
    return [answer.status, answer.data];
  },
  got: async () => {
    const { got } = await bring("got");
    const body = await standard(new FormData());
    const answer = await got.post(url, { headers, body, throwHttpErrors: false, retry: { limit: 0 } });
    return [answer.statusCode, answer.body];
  },
  "node-fetch": async () => {
    const { default: fetch, FormData } = await bring("node-fetch");
    return answered(await fetch(url, { method: "POST", headers, body: await standard(new FormData()) }));
  },
};

const [status, answer] = await writers[writer]();
process.stdout.write(`${status}\n${answer}`);
