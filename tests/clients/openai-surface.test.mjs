// What the openai package offers beyond plain calls: its helpers, raw answers, files, and leaving.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";

import OpenAI from "openai";

import { TOKEN, startGateway, until } from "./gateway.mjs";
import { USAGE, startUpstream } from "./upstream.mjs";

let upstream;
let gateway;
let openai;

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const user = (content) => ({ role: "user", content });
const askedOf = (word) => upstream.asked.filter(({ body }) => JSON.stringify(body).includes(word));

before(async () => {
  upstream = await startUpstream();
  gateway = await startGateway(upstream);
  openai = new OpenAI({ apiKey: TOKEN, baseURL: `${gateway.http}/v1`, maxRetries: 0 });
});

after(async () => {
  const how = await gateway?.stop();
  await upstream?.stop();
  if (how) assert.deepEqual(how, { code: 0, signal: null }, gateway.log());
});

describe("the openai package's helpers", { concurrency: true }, () => {
  test("the chat stream tells events and adds up", async () => {
    const stream = openai.chat.completions.stream({
      model: "openclaw",
      messages: [user("one two three")],
      stream_options: { include_usage: true },
    });
    let text = "";
    stream.on("content", (delta) => (text += delta));
    const final = await stream.finalChatCompletion();
    assert.match(final.choices[0].message.content, /^Hello from stub: .*one two three$/);
    assert.equal(text, final.choices[0].message.content);
    assert.deepEqual(await stream.totalUsage(), USAGE);
  });

  test("the tool runner goes on by itself", async () => {
    const called = [];
    const runner = openai.chat.completions.runTools({
      model: "openclaw",
      messages: [user("CLIENTTOOL run")],
      tools: [
        {
          type: "function",
          function: {
            name: "get_weather",
            parameters,
            parse: JSON.parse,
            function: ({ city }) => (called.push(city), "rain"),
          },
        },
      ],
    });
    assert.equal(await runner.finalContent(), "Tool said ok; final answer.");
    assert.deepEqual(called, ["Oslo"]);
  });

  test("the response stream adds up, with a call in it", async () => {
    const tools = [{ type: "function", name: "get_weather", parameters, strict: false }];
    const stream = openai.responses.stream({ model: "openclaw", input: "CLIENTTOOL stream", tools });
    const kinds = [];
    for await (const event of stream) kinds.push(event.type);
    const final = await stream.finalResponse();
    const call = final.output.find(({ type }) => type === "function_call");
    assert.equal(call.arguments, '{"city":"Oslo"}');
    assert.ok(kinds.includes("response.function_call_arguments.done"), kinds.join());
    assert.equal(kinds.at(-1), "response.completed");
  });

  test("a response as the schema wants it is parsed", async () => {
    const schema = {
      type: "object",
      properties: { drink: { type: "string" }, cups: { type: "number" } },
      required: ["drink", "cups"],
      additionalProperties: false,
    };
    const format = { type: "json_schema", name: "order", strict: true, schema };
    const reply = await openai.responses.parse({ model: "openclaw", input: "JSONREPLY", text: { format } });
    assert.deepEqual(JSON.parse(reply.output_text), { drink: "tea", cups: 2 });
  });

  test("raw answers carry their headers", async () => {
    const { data, response } = await openai.chat.completions
      .create({ model: "openclaw", messages: [user("raw")] })
      .withResponse();
    assert.equal(response.headers.get("content-type"), "application/json; charset=utf-8");
    assert.ok(data.choices.length);
    const stream = await openai.chat.completions
      .create({ model: "openclaw", messages: [user("raw")], stream: true })
      .asResponse();
    assert.match(await stream.text(), /data: \[DONE\]\n\n$/);
  });

  test("a PDF file reaches the model as text", async () => {
    const pdf = await readFile(new URL("../../src/sys/pdf/testdata/kettle.pdf", import.meta.url));
    const file_data = `data:application/pdf;base64,${pdf.toString("base64")}`;
    const content = [
      { type: "input_file", filename: "kettle.pdf", file_data },
      { type: "input_text", text: "what does kettle.pdf say" },
    ];
    await openai.responses.create({ model: "openclaw", input: [user(content)] });
    const [{ body }] = askedOf("what does kettle.pdf say");
    assert.match(JSON.stringify(body), /Page two ends it\./);
  });

  test("an answer nobody waits for any more ends the upstream call", async () => {
    for (const surface of ["chat", "responses"]) {
      const word = randomUUID();
      const abort = new AbortController();
      const options = { signal: abort.signal };
      const asking =
        surface === "chat"
          ? openai.chat.completions.create({ model: "openclaw", messages: [user(`SLOW ${word}`)] }, options)
          : openai.responses.create({ model: "openclaw", input: `SLOW ${word}` }, options);
      const [call] = await until("the upstream is asked", () => askedOf(word).length && askedOf(word));
      abort.abort();
      await assert.rejects(asking, OpenAI.APIUserAbortError);
      await until(`the upstream call of ${surface} is gone`, () => call.left, 1000);
    }
  });

  test("a model that does not exist is not found", async () => {
    await assert.rejects(openai.models.retrieve("openclaw/nope"), OpenAI.NotFoundError);
  });
});
