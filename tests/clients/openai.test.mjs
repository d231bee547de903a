// The openai package against the built gateway.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";

import OpenAI from "openai";

import { TOKEN, startGateway, until } from "./gateway.mjs";
import { USAGE, startUpstream } from "./upstream.mjs";

let upstream;
let gateway;
let openai;

const client = (apiKey) => new OpenAI({ apiKey, baseURL: `${gateway.http}/v1`, maxRetries: 0 });

before(async () => {
  upstream = await startUpstream();
  gateway = await startGateway(upstream);
  openai = client(TOKEN);
});

after(async () => {
  const how = await gateway?.stop();
  await upstream?.stop();
  if (how) assert.deepEqual(how, { code: 0, signal: null }, gateway.log());
});

describe("the openai package", { concurrency: true }, () => {
  test("lists the models", async () => {
    const { data } = await openai.models.list();
    assert.deepEqual(data.map((model) => model.id), ["openclaw", "openclaw/default", "openclaw/main"]);
  });

  for (const id of ["openclaw", "openclaw/default", "openclaw/main"]) {
    test(`retrieves ${id}`, async () => {
      const model = await openai.models.retrieve(id);
      assert.deepEqual(model, { id, object: "model", created: 0, owned_by: "openclaw", permission: [] });
    });
  }

  test("completes a chat", async () => {
    const reply = await openai.chat.completions.create({
      model: "openclaw",
      messages: [{ role: "user", content: "good morning" }],
    });
    assert.match(reply.id, /^chatcmpl_[0-9a-f-]{36}$/);
    assert.equal(reply.object, "chat.completion");
    assert.equal(reply.model, "openclaw");
    assert.equal(reply.choices.length, 1);
    assert.equal(reply.choices[0].finish_reason, "stop");
    assert.match(reply.choices[0].message.content, /^Hello from stub: .*good morning$/);
    assert.deepEqual(reply.usage, USAGE);
  });

  test("streams a chat with its usage at the end", async () => {
    const stream = await openai.chat.completions.create({
      model: "openclaw/main",
      messages: [{ role: "user", content: "one two three" }],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
    assert.ok(chunks.every((chunk) => chunk.object === "chat.completion.chunk" && chunk.model === "openclaw/main"));
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    assert.match(text, /^Hello from stub: .*one two three$/);
    const last = chunks.at(-1);
    assert.deepEqual(last.choices, []);
    assert.deepEqual(last.usage, USAGE);
    const stops = chunks.filter((chunk) => chunk.choices[0]?.finish_reason);
    assert.deepEqual(stops.map((chunk) => chunk.choices[0].finish_reason), ["stop"]);
    assert.ok(chunks.filter((chunk) => chunk.choices[0]?.delta.content).length > 1, "it comes in pieces");
  });

  test("keeps the turns of a conversation apart from the last message", async () => {
    const reply = await openai.chat.completions.create({
      model: "openclaw",
      messages: [
        { role: "system", content: "be brief" },
        { role: "user", content: "my name is Ada" },
        { role: "assistant", content: "Hello Ada." },
        { role: "user", content: [{ type: "text", text: "what is my name?" }] },
      ],
    });
    assert.match(reply.choices[0].message.content, /what is my name\?/);
    const asked = upstream.asked.find(({ body }) => JSON.stringify(body).includes("what is my name?"));
    assert.match(JSON.stringify(asked.body), /my name is Ada/, "the model sees the earlier turns");
    assert.match(JSON.stringify(asked.body), /be brief/, "the model sees the caller's system message");
  });

  test("keeps one session per user", async () => {
    const user = randomUUID();
    const say = (content) => openai.chat.completions.create({ model: "openclaw", user, messages: [{ role: "user", content }] });
    await say(`the word is ${user}`);
    const reply = await say("RECALL");
    assert.match(reply.choices[0].message.content, new RegExp(`the word is ${user}`));
  });

  test("uses a tool of the agent on the way", async () => {
    const reply = await openai.chat.completions.create({
      model: "openclaw",
      messages: [{ role: "user", content: "TOOLCALL please" }],
    });
    assert.match(reply.choices[0].message.content, /Tool said ok; final answer\.$/);
    assert.equal(reply.usage.total_tokens, 2 * USAGE.total_tokens, "both calls are counted");
  });

  const weather = { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } } } };

  test("calls a tool of its own and goes on with the result", async () => {
    const tools = [{ type: "function", function: weather }];
    const messages = [{ role: "user", content: "CLIENTTOOL please" }];
    const stream = await openai.chat.completions.create({ model: "openclaw", messages, tools, stream: true });
    let call;
    for await (const chunk of stream) {
      for (const piece of chunk.choices[0]?.delta.tool_calls ?? []) {
        call ??= { id: piece.id, type: "function", function: { name: piece.function.name, arguments: "" } };
        call.function.arguments += piece.function.arguments ?? "";
      }
    }
    assert.deepEqual(call.function, { name: "get_weather", arguments: '{"city":"Oslo"}' });
    messages.push({ role: "assistant", content: null, tool_calls: [call] });
    messages.push({ role: "tool", tool_call_id: call.id, content: "rain" });
    const reply = await openai.chat.completions.create({ model: "openclaw", messages, tools });
    assert.equal(reply.choices[0].message.content, "Tool said ok; final answer.");
  });

  test("creates a response and continues it", async () => {
    const word = randomUUID();
    const first = await openai.responses.create({ model: "openclaw", input: `the word is ${word}`, instructions: "be brief" });
    assert.equal(first.status, "completed");
    assert.match(first.output_text, new RegExp(`^Hello from stub: .*${word}$`));
    const second = await openai.responses.create({ model: "openclaw", input: "RECALL", previous_response_id: first.id });
    assert.match(second.output_text, new RegExp(`the word is ${word}`));
  });

  test("streams a response", async () => {
    const stream = openai.responses.stream({ model: "openclaw", input: "one two three" });
    const kinds = [];
    stream.on("event", (event) => kinds.push(event.type));
    const response = await stream.finalResponse();
    assert.match(response.output_text, /^Hello from stub: .*one two three$/);
    assert.equal(kinds[0], "response.created");
    assert.equal(kinds.at(-1), "response.completed");
    assert.ok(kinds.filter((kind) => kind === "response.output_text.delta").length > 1, "it comes in pieces");
    assert.equal(response.usage.total_tokens, USAGE.total_tokens);
  });

  test("calls a tool of its own within a response", async () => {
    const tools = [{ type: "function", ...weather, strict: false }];
    const stream = openai.responses.stream({ model: "openclaw", input: "CLIENTTOOL please", tools });
    const first = await stream.finalResponse();
    const call = first.output.find((item) => item.type === "function_call");
    assert.equal(call.name, "get_weather");
    assert.equal(call.arguments, '{"city":"Oslo"}');
    const input = [{ type: "function_call_output", call_id: call.call_id, output: "rain" }];
    const second = await openai.responses.create({ model: "openclaw", input, tools, previous_response_id: first.id });
    assert.equal(second.output_text, "Tool said ok; final answer.");
  });

  test("makes embeddings, which come as base64 unless asked for otherwise", async () => {
    const input = ["restart the gateway", "tomatoes"];
    const packed = await openai.embeddings.create({ model: "openclaw", input, dimensions: 32 });
    const plain = await openai.embeddings.create({ model: "openclaw", input, dimensions: 32, encoding_format: "float" });
    assert.deepEqual(packed.data.map((row) => row.embedding.length), [32, 32]);
    const near = (a, b) => a.every((value, at) => Math.abs(value - b[at]) < 1e-6);
    assert.ok(packed.data.every((row, at) => near(row.embedding, plain.data[at].embedding)));
  });

  test("passes on what the upstream refused", async () => {
    const asked = openai.chat.completions.create({ model: "openclaw", messages: [{ role: "user", content: "FAIL now" }] });
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, `${error}`);
      assert.equal(error.type, "invalid_request_error");
      assert.match(error.message, /stub bad request/);
      return true;
    });
  });

  test("is told of a model that does not exist", async () => {
    const asked = openai.chat.completions.create({ model: "gpt-4", messages: [{ role: "user", content: "hi" }] });
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, `${error}`);
      assert.match(error.message, /Invalid `model`\. Use `openclaw` or `openclaw\/<agentId>`\./);
      return true;
    });
  });

  test("is refused with a wrong key", async () => {
    await assert.rejects(client("wrong").models.list(), (error) => {
      assert.ok(error instanceof OpenAI.AuthenticationError, `${error}`);
      assert.equal(error.status, 401);
      assert.equal(error.type, "unauthorized");
      return true;
    });
  });

  test("ends the upstream call when it leaves", async () => {
    const word = randomUUID();
    const stream = await openai.chat.completions.create({
      model: "openclaw",
      messages: [{ role: "user", content: `SLOW ${word}` }],
      stream: true,
    });
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) break;
    }
    stream.controller.abort();
    const call = upstream.asked.find(({ body }) => JSON.stringify(body).includes(word));
    await until("the upstream call is gone", () => call.left, 1000);
  });
});
