// A model provider that does what the last user message asks for, on 127.0.0.1.
//
// As a program it prints its port on the first line of stdout and ends when stdin ends. Words it obeys:
//   TOOLCALL   one call of `exec`, then "Tool said ok; final answer."
//   CLIENTTOOL one call of `get_weather`, which is the client's, then the same
//   FAIL       400 with an error object
//   SLOW       one word every 40 ms until the client leaves
//   JSONREPLY  {"drink":"tea","cups":2}
//   RECALL     "I remember: " and every earlier user message
//   otherwise  "Hello from stub: " and the last line of the message
// GET /asked lists the requests so far, each with `left`: the client went before the answer was over.
import { createServer } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const USAGE = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };

export async function startUpstream() {
  const asked = [];
  const server = createServer(async (request, response) => {
    if (request.method === "GET") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(request.url === "/asked" ? asked : { object: "list", data: [{ id: "stub-model" }] }));
      return;
    }
    let text = "";
    for await (const piece of request) text += piece;
    const body = JSON.parse(text);
    const entry = { path: request.url, body, left: false };
    asked.push(entry);
    if (request.url.endsWith("/embeddings")) {
      const data = body.input.map((text, index) => ({ object: "embedding", index, embedding: [text.length, index] }));
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ object: "list", data, model: body.model, usage: USAGE }));
      return;
    }
    response.on("close", () => (entry.left = !response.writableFinished));
    await answer(body, entry, response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  return {
    port,
    asked,
    baseUrl: `http://127.0.0.1:${port}/v1`,
    stop: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}

function textOf(message) {
  if (typeof message.content === "string") return message.content;
  return (message.content ?? []).map((part) => part.text ?? "").join("");
}

async function answer(body, entry, response) {
  const users = body.messages.filter((message) => message.role === "user").map(textOf);
  const last = users.at(-1) ?? "";
  const stamp = { id: "chatcmpl-stub", created: 1, model: "stub-model" };
  const chunk = (delta, finish_reason = null) =>
    response.write(
      `data: ${JSON.stringify({ ...stamp, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason }] })}\n\n`,
    );
  if (last.includes("FAIL")) {
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { message: "stub bad request", type: "invalid_request_error" } }));
    return;
  }
  const afterTool = body.messages.at(-1).role === "tool";
  const clientTool = last.includes("CLIENTTOOL");
  const wantsTool = (last.includes("TOOLCALL") || clientTool) && !afterTool;
  const reply = afterTool
    ? "Tool said ok; final answer."
    : last.includes("JSONREPLY")
      ? '{"drink":"tea","cups":2}'
      : last.includes("RECALL")
      ? `I remember: ${users.slice(0, -1).join(" | ")}`
      : `Hello from stub: ${last.trim().split("\n").at(-1)}`;
  if (!body.stream) {
    response.writeHead(200, { "content-type": "application/json" });
    const message = { role: "assistant", content: reply };
    const choices = [{ index: 0, message, finish_reason: "stop" }];
    response.end(JSON.stringify({ ...stamp, object: "chat.completion", choices, usage: USAGE }));
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream" });
  if (last.includes("SLOW")) {
    for (let word = 0; !entry.left && word < 2000; word += 1) {
      chunk({ content: word === 0 ? "w0" : ` w${word}` });
      await pause(40);
    }
    response.end();
    return;
  }
  if (wantsTool) {
    const call = { index: 0, id: "call_stub_1", type: "function" };
    const [name, first, second] = clientTool
      ? ["get_weather", '{"city":', '"Oslo"}']
      : ["exec", '{"command":', '"echo tool-output-42"}'];
    chunk({ tool_calls: [{ ...call, function: { name, arguments: first } }] });
    chunk({ tool_calls: [{ index: 0, function: { arguments: second } }] });
    chunk({}, "tool_calls");
  } else {
    for (const piece of reply.split(/(?= )/)) chunk({ content: piece });
    chunk({}, "stop");
  }
  response.write(
    `data: ${JSON.stringify({ ...stamp, object: "chat.completion.chunk", choices: [], usage: USAGE })}\n\n`,
  );
  response.end("data: [DONE]\n\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const upstream = await startUpstream();
  console.log(upstream.port);
  process.stdin.on("end", () => process.exit(0)).resume();
}
