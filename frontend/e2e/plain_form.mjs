// Posts the page's own form with JavaScript off and prints the words of the page that answers.
// Run: node plain_form.mjs HOST:PORT PDF JPEG
import { launch } from "./chromium.mjs";

const [host, document, image] = process.argv.slice(2);
const browser = await launch();
const page = await browser.newPage({ javaScriptEnabled: false });
await page.goto(`http://${host}/`);
await page.setInputFiles("input[name=docs_field]", document);
await page.setInputFiles("input[name=msa_imgs]", image);
const answered = page.waitForResponse((response) => response.request().method() === "POST");
await page.locator("button[type=submit]").click();
const answer = await answered;
if (answer.status() !== 200) throw new Error(`${answer.status()}`);
await page.waitForLoadState();
const words = await page.locator("body").innerText();
await browser.close();
console.log(JSON.stringify(words));
