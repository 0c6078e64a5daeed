// A client of the service this one replaces: one POST with the two size headers, one socket on
// `/?client_id=`, and nothing known of anything newer. Run: node old_client.mjs HOST:PORT PDF JPEG
import { readFile } from "node:fs/promises";
import WebSocket from "ws";

const [host, documentPath, imagePath] = process.argv.slice(2);
const id = "8928y4yf3y";
const document = await readFile(documentPath);
const image = await readFile(imagePath);

/** What the old service said, file by file, in the order in which it may be said. */
const words = [
  ["buffering", /^Buffering data$/],
  ["processing", /^Processing (buffered data|part \d+ buffered data|final part buffered data)$/],
  ["completed", /^Completed!$/],
];

function fail(reason) {
  console.log(reason);
  process.exit(1);
}

/** Reads only the four old members, as the old page did. */
function judge(bars, text) {
  const { file_type, status, progress, message } = JSON.parse(text);
  if (file_type !== "docs_file" && file_type !== "msa_imgs") fail(`file_type: ${text}`);
  const stage = words.findIndex(([word, sentence]) => word === status && sentence.test(message));
  if (stage < 0) fail(`not the old vocabulary: ${text}`);
  const bar = (bars[file_type] ??= { stage: 0, progress: 0, part: 0, messages: 0 });
  if (stage < bar.stage) fail(`back from ${words[bar.stage][0]}: ${text}`);
  if (bar.stage === 2) fail(`after the end: ${text}`);
  if (!Number.isInteger(progress) || progress < bar.progress) fail(`progress fell from ${bar.progress}: ${text}`);
  if ((progress === 100) !== (status === "completed")) fail(`100 and completed go together: ${text}`);
  const part = Number(/part (\d+)/.exec(message)?.[1] ?? bar.part);
  if (part < bar.part) fail(`parts go up: ${text}`);
  Object.assign(bar, { stage, progress, part, messages: bar.messages + 1 });
  return bars.docs_file?.stage === 2 && bars.msa_imgs?.stage === 2;
}

async function upload() {
  const bars = {};
  const socket = new WebSocket(`ws://${host}/?client_id=${id}`);
  const ended = new Promise((resolve) => {
    socket.on("message", (data, isBinary) => {
      if (isBinary) fail("a binary message");
      if (judge(bars, data.toString())) resolve();
    });
    socket.on("error", (error) => fail(`the socket failed: ${error}`));
  });
  await new Promise((resolve) => socket.on("open", resolve));
  const form = new FormData();
  form.append("docs_field", new Blob([document], { type: "application/pdf" }), "a.pdf");
  form.append("msa_imgs", new Blob([image], { type: "image/jpeg" }), "b.jpg");
  const answer = await fetch(`http://${host}/upload`, {
    method: "POST",
    body: form,
    headers: {
      "X-Docs-Filesize": String(document.length),
      "X-Image-Filesize": String(image.length),
      "X-Client-Id": id,
    },
  });
  const said = await answer.text();
  if (answer.status !== 200) fail(`${answer.status} ${said}`);
  await ended;
  socket.close();
  await new Promise((resolve) => socket.on("close", resolve));
  for (const [file, bar] of Object.entries(bars)) {
    if (bar.messages < 2) fail(`${file} jumped to its end`);
    console.log(`${file}: ${bar.messages} messages, last ${bar.progress}`);
  }
}

// An old client uses one id for ever: the second time nothing of the first may be heard.
await upload();
await upload();
