// The documents as the command prints them, compiled by AJV in its strictest mode.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

/** What `hongbaod WORDS` prints. */
export function printed(hongbaod, words, options = {}) {
  const done = spawnSync(hongbaod, words, { encoding: "utf8", maxBuffer: 1 << 26, ...options });
  if (done.status !== 0) throw new Error(`${words.join(" ")}: exit code ${done.status}: ${done.stderr}`);
  return done.stdout;
}

function compile(text) {
  const loud = (...words) => { throw new Error(`AJV warns: ${words.join(" ")}`); };
  const ajv = new Ajv2020({ strict: true, allErrors: true, logger: { log: loud, warn: loud, error: loud } });
  addFormats(ajv);
  const schema = JSON.parse(text);
  if (!ajv.validateSchema(schema)) throw new Error(`against the meta schema: ${ajv.errorsText()}`);
  const judge = ajv.compile(schema);
  return {
    schema,
    // As docs/contract.md shows it.
    of: (kind) => ajv.getSchema(`${schema.$id}#/$defs/${kind}`),
    takes: (value) => judge(value),
    faults: (value) => (judge(value) ? [] : judge.errors.map((error) => `${error.instancePath || "/"} ${error.message}`)),
  };
}

export function schemas(hongbaod) {
  return {
    job: compile(printed(hongbaod, ["schema", "job"])),
    event: compile(printed(hongbaod, ["schema", "event"])),
    strict: compile(printed(hongbaod, ["schema", "event", "--strict"])),
  };
}

/** The document, if the parser has neither an error nor a warning; what it says of version 3.1 is only a hint. */
export async function asyncapi(text) {
  const { document, diagnostics } = await new Parser().parse(text);
  const bad = diagnostics.filter((found) => found.severity <= 1);
  const told = bad.map((found) => `${found.path.join("/")}: ${found.message}`);
  if (!document || bad.length > 0) throw new Error(`AsyncAPI: ${told.join("\n")}`);
  return document;
}

/** The ```json blocks of a page. */
export function examples(page) {
  const blocks = readFileSync(page, "utf8").split("```json\n").slice(1);
  return blocks.map((rest) => JSON.parse(rest.split("```")[0]));
}
