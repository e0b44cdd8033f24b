// Opens a page in a headless Chromium and says what a person, a printer and a screen reader find, as JSON. Speaks the
// browser's debugging protocol over a pipe: node page.mjs CHROMIUM PAGE PROFILE-DIRECTORY
import { spawn } from "node:child_process";
import { pathToFileURL } from "node:url";

const [, , chromium, page, profile] = process.argv;
const browser = spawn(
  chromium,
  ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    `--user-data-dir=${profile}`, "--remote-debugging-pipe", "about:blank"],
  { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
);
const [to, from] = [browser.stdio[3], browser.stdio[4]];
let last = 0, rest = "";
const waiting = new Map(), heard = [];
from.on("data", (data) => {
  rest += data;
  const messages = rest.split("\0");
  rest = messages.pop();
  for (const message of messages.map((text) => JSON.parse(text))) {
    if (!message.id) { heard.push(message); continue; }
    const { resolve, reject } = waiting.get(message.id);
    waiting.delete(message.id);
    message.error ? reject(new Error(message.error.message)) : resolve(message.result);
  }
});
let session;
const call = (method, params = {}) => new Promise((resolve, reject) => {
  waiting.set(++last, { resolve, reject });
  to.write(JSON.stringify({ id: last, method, params, sessionId: session }) + "\0");
});
const evaluate = async (expression) => {
  const answer = await call("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
  if (answer.exceptionDetails) throw new Error(JSON.stringify(answer.exceptionDetails));
  return answer.result.value;
};
const media = (type, scheme) =>
  call("Emulation.setEmulatedMedia", { media: type, features: [{ name: "prefers-color-scheme", value: scheme }] });
const size = (width) =>
  call("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: false });

const { targetId } = await call("Target.createTarget", { url: "about:blank" });
session = (await call("Target.attachToTarget", { targetId, flatten: true })).sessionId;
for (const domain of ["Page", "Runtime", "Log", "Network", "Accessibility"]) await call(`${domain}.enable`);
await size(1200);
await call("Page.navigate", { url: pathToFileURL(page).href });
while (await evaluate("document.readyState") !== "complete");

const found = {};
found.title = await evaluate("document.title");
found.headings = await evaluate("[...document.querySelectorAll('h1,h2')].map((head) => head.textContent)");
found.wide = await evaluate("document.documentElement.scrollWidth > innerWidth");
await size(400);
found.wide_when_narrow = await evaluate("document.documentElement.scrollWidth > innerWidth");
await size(1200);
const paper = "getComputedStyle(document.body).backgroundColor";
await media("screen", "light");
found.light = await evaluate(paper);
await media("screen", "dark");
found.dark = await evaluate(paper);
found.contrast = await evaluate(`(() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((value) => {
    const part = value / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  const light = (colour) => channels(colour).reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let worst = 21;
  for (const element of document.querySelectorAll("p, dt, dd, th, td, a, li, h1, h2, h3, code")) {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x);
    worst = Math.min(worst, (a + 0.05) / (b + 0.05));
  }
  return worst;
})()`);
await media("screen", "light");

// The keyboard: what Tab reaches, in order, until it comes round.
found.tabs = [];
for (let press = 0; press < 400; press++) {
  for (const type of ["keyDown", "keyUp"]) {
    await call("Input.dispatchKeyEvent", { type, key: "Tab", code: "Tab", windowsVirtualKeyCode: 9 });
  }
  const at = await evaluate(`(() => {
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    const style = getComputedStyle(element);
    return { name: (element.getAttribute("aria-label") || element.textContent).trim().slice(0, 80), seen: style.outlineStyle !== "none" };
  })()`);
  if (!at) break;
  found.tabs.push(at);
}

// The screen reader: what has a role but no name.
const { nodes } = await call("Accessibility.getFullAXTree");
const roles = ["link", "region", "image", "img", "heading", "table", "navigation", "main"];
const shown = nodes.filter((node) => !node.ignored && roles.includes(node.role?.value));
found.unnamed = shown
  .filter((node) => !node.name?.value && !["main", "table"].includes(node.role.value))
  .map((node) => node.role.value);
found.landmarks = [...new Set(shown.map((node) => node.role.value))].sort();
found.broken_links = await evaluate(
  "[...document.querySelectorAll('a[href^=\"#\"]')].filter((link) => link.hash.length < 2 || !document.getElementById(decodeURIComponent(link.hash.slice(1)))).map((link) => link.outerHTML)",
);
found.twice = await evaluate(
  "(() => { const ids = [...document.querySelectorAll('[id]')].map((element) => element.id); return ids.filter((id, at) => ids.indexOf(id) !== at); })()",
);
await media("print", "dark");
found.print = await evaluate(paper);
found.printed_navigation = await evaluate("getComputedStyle(document.querySelector('nav')).display");
const pdf = await call("Page.printToPDF", { preferCSSPageSize: true, printBackground: true });
const bytes = Buffer.from(pdf.data, "base64").toString("latin1");
found.pages = (bytes.match(/\/Type\s*\/Page\b(?!s)/g) || []).length;
found.paper = bytes.match(/\/MediaBox\s*\[([^\]]*)\]/)?.[1].trim();

const url = pathToFileURL(page).href;
found.requests = heard.filter((message) => message.method === "Network.requestWillBeSent")
  .map((message) => message.params.request.url).filter((asked) => asked !== url && !asked.startsWith(`${url}#`));
found.errors = heard
  .filter((message) => ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"].includes(message.method))
  .map((message) => JSON.stringify(message.params));
console.log(JSON.stringify(found));
session = undefined;
await call("Browser.close").catch(() => {});
