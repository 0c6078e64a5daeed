// Uploads two files in Chromium and prints every state that was painted, with its time.
// Run: node truth.mjs HOST:PORT PDF JPEG
import { launch } from "./chromium.mjs";

const [host, document, image] = process.argv.slice(2);
const browser = await launch();
const page = await browser.newPage();
const complaints = [];
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("console", (message) => {
  if (message.type() === "error") complaints.push(`${message.text()} ${message.location().url}`);
});

await page.addInitScript(() => {
  window.painted = [];
  const last = {};
  // Every change of the DOM is looked at as a whole: the bars of one message are replaced together.
  const look = () => {
    const at_ms = Date.now();
    for (const bars of window.document.querySelectorAll("[data-file-type] [data-received]")) {
      const { received, sent, stored, progress, status } = bars.dataset;
      if (!status) continue;
      const file_type = bars.closest("[data-file-type]").dataset.fileType;
      const state = [received, sent, stored, progress, status].join();
      if (last[file_type] === state) continue;
      last[file_type] = state;
      const numbers = { received: +received, sent: +sent, stored: +stored, progress: +progress };
      window.painted.push({ file_type, at_ms, status, ...numbers });
    }
  };
  new MutationObserver(look).observe(window.document, {
    subtree: true,
    childList: true,
    attributes: true,
    characterData: true,
  });
});

await page.goto(`http://${host}/`);
await page.waitForSelector("main[data-awake]");
await page.setInputFiles("input[name=docs_field]", document);
await page.setInputFiles("input[name=msa_imgs]", image);
await page.locator("button[type=submit]:enabled").click();
const isOver = () => {
  const bars = [...window.document.querySelectorAll("[data-file-type] [data-received]")];
  return bars.length === 2 && bars.every((bar) => ["completed", "error"].includes(bar.dataset.status));
};
await page.waitForFunction(isOver, null, { timeout: 60_000, polling: 100 });
const painted = await page.evaluate(() => window.painted);
await browser.close();
console.log(JSON.stringify({ painted, complaints }));
