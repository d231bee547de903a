"""What the openai package from PyPI offers beyond plain calls: its helpers, raw answers, files, and the async client."""

import asyncio
import base64
import pathlib
import unittest

import openai
from pydantic import BaseModel

from test_openai import TOKEN, Gateway, until

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER, "strict": True}}
TOOL = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True}
PDF = pathlib.Path(__file__).resolve().parents[2] / "src/sys/pdf/testdata/kettle.pdf"


class Order(BaseModel):
    drink: str
    cups: int


class get_weather(BaseModel):
    """The class's name is the tool's, where the helpers make a tool of it."""

    city: str


class Chat(Gateway):
    def ask(self, content, **more):
        messages = [{"role": "user", "content": content}]
        return self.client.chat.completions.create(model="openclaw", messages=messages, **more)

    def last_asked(self, words):
        return next(entry["body"] for entry in reversed(self.asked()) if words in str(entry["body"]))

    def test_an_answer_is_parsed_into_a_model(self):
        reply = self.client.chat.completions.parse(
            model="openclaw", messages=[{"role": "user", "content": "JSONREPLY parsed"}], response_format=Order
        )
        self.assertEqual(reply.choices[0].message.parsed, Order(drink="tea", cups=2))
        asked = self.last_asked("JSONREPLY parsed")["response_format"]
        self.assertEqual((asked["type"], asked["json_schema"]["name"]), ("json_schema", "Order"))

    def test_a_call_is_parsed_into_a_model(self):
        reply = self.client.chat.completions.parse(
            model="openclaw",
            messages=[{"role": "user", "content": "CLIENTTOOL parsed"}],
            tools=[openai.pydantic_function_tool(get_weather)],
        )
        self.assertEqual(reply.choices[0].finish_reason, "tool_calls")
        self.assertEqual(reply.choices[0].message.tool_calls[0].function.parsed_arguments, get_weather(city="Oslo"))

    def test_the_stream_helper_tells_events_and_adds_up(self):
        with self.client.chat.completions.stream(
            model="openclaw", messages=[{"role": "user", "content": "one two three"}]
        ) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_completion()
        self.assertRegex(final.choices[0].message.content, "^Hello from stub: .*one two three$")
        self.assertGreater(kinds.count("content.delta"), 1)
        self.assertIn("content.done", kinds)

    def test_the_stream_helper_puts_a_call_together(self):
        with self.client.chat.completions.stream(
            model="openclaw",
            messages=[{"role": "user", "content": "CLIENTTOOL streamed"}],
            tools=[openai.pydantic_function_tool(get_weather)],
        ) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_completion()
        self.assertIn("tool_calls.function.arguments.done", kinds)
        self.assertEqual(final.choices[0].message.tool_calls[0].function.parsed_arguments.city, "Oslo")

    def test_a_tool_can_be_wanted_and_named(self):
        for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
            reply = self.ask("CLIENTTOOL wanted", tools=[CHAT_TOOL], tool_choice=choice)
            self.assertEqual(reply.choices[0].message.tool_calls[0].function.name, "get_weather")
        reply = self.ask("no tool here", tools=[CHAT_TOOL], tool_choice="none")
        self.assertIsNone(reply.choices[0].message.tool_calls)

    def test_a_tool_that_was_wanted_and_not_called_is_an_error(self):
        with self.assertRaises(openai.APIStatusError) as caught:
            self.ask("just talk", tools=[CHAT_TOOL], tool_choice="required")
        self.assertEqual(caught.exception.status_code, 502)

    def test_parts_and_pictures_reach_the_model(self):
        url = f"data:image/png;base64,{PIXEL}"
        self.ask([{"type": "text", "text": "look at this pixel"}, {"type": "image_url", "image_url": {"url": url}}])
        self.assertIn(PIXEL, str(self.last_asked("look at this pixel")))

    def test_every_documented_field_is_taken(self):
        reply = self.client.chat.completions.create(
            model="openclaw",
            messages=[
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": "all fields"},
            ],
            temperature=0.5,
            top_p=0.9,
            frequency_penalty=0.1,
            presence_penalty=0.1,
            seed=7,
            stop=["END"],
            max_completion_tokens=50,
            metadata={"a": "b"},
            store=False,
            extra_headers={"x-openclaw-session-key": "python-fields"},
        )
        self.assertTrue(reply.choices[0].message.content)
        asked = self.last_asked("all fields")
        self.assertEqual((asked["temperature"], asked["seed"], asked["stop"]), (0.5, 7, ["END"]))

    def test_raw_and_streamed_answers_carry_their_headers(self):
        create = self.client.chat.completions.with_raw_response.create
        raw = create(model="openclaw", messages=[{"role": "user", "content": "raw"}])
        self.assertEqual((raw.status_code, raw.headers["content-type"].split(";")[0]), (200, "application/json"))
        self.assertTrue(raw.parse().choices)
        create = self.client.chat.completions.with_streaming_response.create
        with create(model="openclaw", messages=[{"role": "user", "content": "raw"}], stream=True) as reply:
            lines = [line for line in reply.iter_lines() if line]
        self.assertEqual(reply.headers["content-type"].split(";")[0], "text/event-stream")
        self.assertEqual(lines[-1], "data: [DONE]")

    def test_a_model_that_does_not_exist_is_not_found(self):
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("openclaw/nope")


class Responses(Gateway):
    def test_an_answer_is_parsed_into_a_model(self):
        reply = self.client.responses.parse(model="openclaw", input="JSONREPLY parsed", text_format=Order)
        self.assertEqual(reply.output_parsed, Order(drink="tea", cups=2))

    def test_the_stream_helper_parses_and_adds_up(self):
        with self.client.responses.stream(model="openclaw", input="JSONREPLY streamed", text_format=Order) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        self.assertEqual(final.output_parsed, Order(drink="tea", cups=2))
        for kind in ("response.output_item.added", "response.content_part.added", "response.output_text.done"):
            self.assertIn(kind, kinds)

    def test_the_stream_helper_puts_a_call_together(self):
        with self.client.responses.stream(
            model="openclaw", input="CLIENTTOOL streamed", tools=[openai.pydantic_function_tool(get_weather)]
        ) as stream:
            kinds = [event.type for event in stream]
            final = stream.get_final_response()
        call = next(item for item in final.output if item.type == "function_call")
        self.assertEqual(call.parsed_arguments, get_weather(city="Oslo"))
        self.assertIn("response.function_call_arguments.done", kinds)

    def test_the_plain_stream_numbers_its_events(self):
        events = list(self.client.responses.create(model="openclaw", input="one two", stream=True))
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))
        self.assertEqual(events[-1].type, "response.completed")

    def test_a_history_of_ones_own_is_sent_along(self):
        said = [
            {"role": "user", "content": "the word is kipper"},
            {"role": "assistant", "content": "noted"},
            {"role": "user", "content": [{"type": "input_text", "text": "RECALL"}]},
        ]
        reply = self.client.responses.create(model="openclaw", input=said, instructions="be brief")
        self.assertIn("the word is kipper", reply.output_text)

    def test_the_output_can_be_sent_back_with_the_result(self):
        first = self.client.responses.create(model="openclaw", input="CLIENTTOOL please", tools=[TOOL])
        call = next(item for item in first.output if item.type == "function_call")
        history = [{"role": "user", "content": "CLIENTTOOL please"}, *[item.to_dict() for item in first.output]]
        history.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
        second = self.client.responses.create(model="openclaw", input=history, tools=[TOOL])
        self.assertEqual(second.output_text, "Tool said ok; final answer.")

    def test_pictures_texts_and_pdf_files_reach_the_model(self):
        file = lambda name, mime, data: {
            "type": "input_file",
            "filename": name,
            "file_data": f"data:{mime};base64,{base64.b64encode(data).decode()}",
        }
        parts = [
            {"type": "input_text", "text": "three parts"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
            file("a.txt", "text/plain", b"the text of the file"),
            file("kettle.pdf", "application/pdf", PDF.read_bytes()),
        ]
        self.client.responses.create(model="openclaw", input=[{"role": "user", "content": parts}])
        asked = str(self.asked()[-1]["body"])
        for words in ("three parts", PIXEL, "the text of the file", "Page two ends it."):
            self.assertIn(words, asked)

    def test_a_failure_in_a_stream_is_told(self):
        events = list(self.client.responses.create(model="openclaw", input="FAIL now", stream=True))
        self.assertEqual(events[-1].type, "response.failed")
        self.assertIn("stub bad request", events[-1].response.error.message)

    def test_raw_answers_carry_their_headers(self):
        raw = self.client.responses.with_raw_response.create(model="openclaw", input="raw")
        self.assertEqual((raw.status_code, raw.headers["content-type"].split(";")[0]), (200, "application/json"))
        self.assertEqual(raw.parse().status, "completed")


class Embeddings(Gateway):
    def test_base64_unasked_and_floats_say_the_same(self):
        # The package asks for base64 by itself and decodes it.
        packed = self.client.embeddings.create(model="openclaw", input="tea").data[0].embedding
        plain = self.client.embeddings.create(model="openclaw", input="tea", encoding_format="float").data[0].embedding
        self.assertEqual(len(packed), len(plain))
        for one, other in zip(packed, plain, strict=True):
            self.assertAlmostEqual(one, other, places=6)

    def test_lists_keep_their_order(self):
        texts = ["tea", "milk", "tea"]
        rows = self.client.embeddings.create(model="openclaw", input=texts).data
        self.assertEqual([row.index for row in rows], [0, 1, 2])
        self.assertEqual(rows[0].embedding, rows[2].embedding)
        self.assertNotEqual(rows[0].embedding, rows[1].embedding)


class Async(Gateway):
    def client_of(self):
        return openai.AsyncOpenAI(
            api_key=TOKEN, base_url=f"http://127.0.0.1:{self.port}/v1", max_retries=0, timeout=20
        )

    def test_many_at_once(self):
        async def all_of_them():
            async with self.client_of() as client:
                ask = lambda n: client.chat.completions.create(
                    model="openclaw", messages=[{"role": "user", "content": f"number {n}"}]
                )
                return await asyncio.gather(*(ask(n) for n in range(20)))

        for n, reply in enumerate(asyncio.run(all_of_them())):
            self.assertTrue(reply.choices[0].message.content.endswith(f"number {n}"))

    def test_streams_of_both_kinds(self):
        async def both():
            async with self.client_of() as client:
                stream = await client.chat.completions.create(
                    model="openclaw", messages=[{"role": "user", "content": "one two"}], stream=True
                )
                text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
                async with client.responses.stream(model="openclaw", input="three four") as stream:
                    final = await stream.get_final_response()
                models = [model.id async for model in client.models.list()]
                return text, final.output_text, models

        text, said, models = asyncio.run(both())
        self.assertTrue(text.endswith("one two") and said.endswith("three four"))
        self.assertIn("openclaw", models)

    def test_a_cancelled_task_ends_the_upstream_call(self):
        async def leave():
            async with self.client_of() as client:
                ask = client.chat.completions.create(
                    model="openclaw", messages=[{"role": "user", "content": "SLOW async-leaves"}]
                )
                task = asyncio.create_task(ask)
                while not any("async-leaves" in str(entry["body"]) for entry in self.asked()):
                    await asyncio.sleep(0.02)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task

        asyncio.run(leave())
        left = lambda: any("async-leaves" in str(entry["body"]) and entry["left"] for entry in self.asked())
        until("the upstream call is gone", left, 1.0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
