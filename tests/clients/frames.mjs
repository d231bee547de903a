// Holds every kept frame against the published schema: node frames.mjs FILE
//
// FILE is what OPENCLAW_FRAMES of the process tests left: requests that were answered well, and every response and event.
// A definition is found by its name: `sessions.list` is SessionsListParams and SessionsListResult, the event `task.suggestion`
// is TaskSuggestionEvent. What has no definition is only held against the frame's. Known differences, each with its reason,
// stand in frames_differ.tsv: the published schema is older than the gateway that was recorded.
import { createReadStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import Ajv from "ajv";

const schema = JSON.parse(
  readFileSync(new URL("node_modules/@openclaw/gateway-protocol/protocol.schema.json", import.meta.url), "utf8"),
);
const ajv = new Ajv({ strict: false });
ajv.addSchema(schema);
const checks = new Map();
const check = (name) => {
  if (!checks.has(name)) checks.set(name, ajv.getSchema(`${schema.$id}#/definitions/${name}`) ?? null);
  return checks.get(name);
};
// EXAMPLE: chat.history -> ChatHistory
const named = (name, end) =>
  name
    .split(/[.\-_]/)
    .map((word) => word[0].toUpperCase() + word.slice(1))
    .join("") + end;

const known = new Map(
  readFileSync(new URL("frames_differ.tsv", import.meta.url), "utf8")
    .split("\n")
    .filter((line) => line && !line.startsWith("#"))
    .map((line) => line.split("\t"))
    .map(([name, place]) => [`${name} ${place}`, 0]),
);

const seen = new Map();
const wrong = new Map();
function hold(name, value, about) {
  const fits = check(name);
  if (!fits) return;
  seen.set(name, (seen.get(name) ?? 0) + 1);
  if (fits(value)) return;
  for (const error of fits.errors) {
    const extra = error.params?.additionalProperty ? `/${error.params.additionalProperty}` : "";
    const place = `${error.instancePath.replaceAll(/\/\d+/g, "/*")}${extra} ${error.keyword}`;
    const key = `${name} ${place}`;
    if (known.has(key)) known.set(key, known.get(key) + 1);
    else if (!wrong.has(key)) wrong.set(key, `${error.message}: ${JSON.stringify(about).slice(0, 600)}`);
  }
}

const asked = new Map();
let frames = 0;
for await (const line of createInterface({ input: createReadStream(process.argv[2]) })) {
  const { pid, port, sent, got } = JSON.parse(line);
  const place = (id) => `${pid} ${port} ${id}`;
  if (sent) {
    asked.set(place(sent.id), sent);
    continue;
  }
  frames += 1;
  hold("GatewayFrame", got, got);
  if (got.type === "event") {
    hold(named(got.event, "Event"), got.payload, got);
    continue;
  }
  const request = asked.get(place(got.id));
  if (!request || !got.ok) continue;
  hold(request.method === "connect" ? "ConnectParams" : named(request.method, "Params"), request.params ?? {}, request);
  hold(request.method === "connect" ? "HelloOk" : named(request.method, "Result"), got.payload, got);
}
for (const [key, times] of known) if (times === 0) wrong.set(key, "stands in frames_differ.tsv and was not seen");
for (const [key, what] of [...wrong].sort()) console.log(`${key}: ${what}`);
console.log(`${frames} frames, ${[...seen.values()].reduce((sum, n) => sum + n, 0)} checks against ${seen.size} definitions`);
if (frames < 1000 || wrong.size > 0) {
  console.log(`${wrong.size} differences`);
  process.exitCode = 1;
}
