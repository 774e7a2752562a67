// Headless Chromium, driven over the pipe of its DevTools protocol: messages of JSON, each ended by
// a zero byte, on the file descriptors 3 and 4. Source: Chromium, --remote-debugging-pipe.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";

const PATIENCE_MS = 30_000;

export class Browser {
  #process;
  #waiting = new Map();
  #listeners = [];
  #next = 1;
  #rest = "";

  constructor(chromium, scratch) {
    const profile = `${scratch}/profile`;
    mkdirSync(profile, { recursive: true });
    const options = [
      "--headless=new", "--remote-debugging-pipe", `--user-data-dir=${profile}`, "--no-first-run",
      "--no-default-browser-check", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--disable-extensions", "--lang=en-GB", "about:blank",
    ];
    // Chromium's sandbox does not work for root, as whom containers run.
    if (process.getuid() === 0) options.unshift("--no-sandbox");
    this.#process = spawn(chromium, options, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.#process.stdio[4].setEncoding("utf8");
    this.#process.stdio[4].on("data", (text) => this.#read(text));
    this.#process.on("exit", () => {
      for (const { reject } of this.#waiting.values()) reject(new Error("Chromium has ended"));
    });
  }

  #read(text) {
    const parts = (this.#rest + text).split("\0");
    this.#rest = parts.pop();
    for (const part of parts) {
      const message = JSON.parse(part);
      const waiting = this.#waiting.get(message.id);
      if (waiting) {
        this.#waiting.delete(message.id);
        if (message.error) waiting.reject(new Error(`${waiting.method}: ${message.error.message}`));
        else waiting.resolve(message.result);
      } else for (const listener of this.#listeners) listener(message);
    }
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, method });
      this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  onEvent(listener) {
    this.#listeners.push(listener);
  }

  async open() {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const tab = new Tab(this, sessionId, targetId);
    for (const domain of ["Page", "Runtime", "Log"]) await tab.send(`${domain}.enable`);
    await tab.size(1280, 900);
    return tab;
  }

  async close() {
    const ended = new Promise((resolve) => this.#process.once("exit", resolve));
    this.send("Browser.close").catch(() => {});
    await ended;
  }
}

export class Tab {
  /** What the console and the browser complained of. */
  complaints = [];
  #browser;
  #session;
  #target;

  constructor(browser, session, target) {
    this.#browser = browser;
    this.#session = session;
    this.#target = target;
    browser.onEvent(({ method, params, sessionId }) => {
      if (sessionId !== session) return;
      if (method === "Runtime.exceptionThrown") {
        this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
      }
      if (method === "Runtime.consoleAPICalled" && ["error", "warning"].includes(params.type)) {
        this.complaints.push(params.args.map((argument) => argument.value ?? argument.description).join(" "));
      }
      if (method === "Log.entryAdded" && ["error", "warning"].includes(params.entry.level)) {
        this.complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
      }
    });
  }

  send(method, params) {
    return this.#browser.send(method, params, this.#session);
  }

  /** Of several tabs the one in front is visible, the others are hidden. */
  front() {
    return this.send("Page.bringToFront");
  }

  close() {
    return this.#browser.send("Target.closeTarget", { targetId: this.#target });
  }

  async goto(url) {
    await this.send("Page.navigate", { url });
    await this.until("the document is there", `document.readyState === "complete" && location.href.startsWith(${JSON.stringify(url)})`);
  }

  async evaluate(expression) {
    const answer = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (answer.exceptionDetails) {
      throw new Error(`${expression}: ${answer.exceptionDetails.exception?.description ?? answer.exceptionDetails.text}`);
    }
    return answer.result.value;
  }

  text(selector) {
    return this.evaluate(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`);
  }

  /** Waits until an expression is true, and returns its value. */
  async until(what, expression, patience = PATIENCE_MS) {
    const end = Date.now() + patience;
    for (;;) {
      // While a page is being exchanged there is nothing to evaluate in.
      const found = await this.evaluate(expression).catch(() => false);
      if (found) return found;
      if (Date.now() > end) {
        throw new Error(`waited in vain until ${what}; the page says:\n${await this.text("body")}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  size(width, height) {
    return this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  }

  scheme(value) {
    return this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value }] });
  }

  async press(key, text) {
    const code = { Tab: 9, Enter: 13 }[key] ?? 0;
    const params = { key, code: key, windowsVirtualKeyCode: code, ...(text ? { text } : {}) };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...params });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...params });
  }

  type(text) {
    return this.send("Input.insertText", { text });
  }

  async screenshot(path, whole = false) {
    const { data } = await this.send("Page.captureScreenshot", { format: "png", captureBeyondViewport: whole });
    writeFileSync(path, Buffer.from(data, "base64"));
  }
}
