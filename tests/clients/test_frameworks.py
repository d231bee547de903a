"""LangChain and LiteLLM against the built gateway: a base URL and a token are all they are told.

Run with: python -m unittest -v test_frameworks"""

import asyncio
import os
import unittest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LANGCHAIN_TRACING_V2"] = "false"

import litellm
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

import test_openai
from test_openai import TOKEN

PICTURE = "data:image/png;base64,iVBORw0KGgo="


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


class LangChain(test_openai.Gateway):
    def model(self, **more):
        return ChatOpenAI(
            model="openclaw", api_key=TOKEN, base_url=f"http://127.0.0.1:{self.port}/v1", max_retries=0, timeout=20, **more
        )

    def test_invokes_with_a_system_message(self):
        reply = self.model().invoke([SystemMessage("be brief"), HumanMessage("good morning")])
        self.assertRegex(reply.content, "^Hello from stub: .*good morning$")
        self.assertEqual(reply.usage_metadata["total_tokens"], 18)
        self.assertIn("be brief", str(self.asked()[-1]["body"]))

    def test_streams(self):
        pieces = list(self.model(stream_usage=True).stream("one two three"))
        self.assertRegex("".join(piece.content for piece in pieces), "^Hello from stub: .*one two three$")
        self.assertGreater(sum(1 for piece in pieces if piece.content), 1)
        self.assertTrue(any(piece.usage_metadata for piece in pieces))

    def test_runs_a_tool_and_goes_on(self):
        bound = self.model().bind_tools([get_weather])
        asked = [HumanMessage("CLIENTTOOL please")]
        first = bound.invoke(asked)
        self.assertEqual([(call["name"], call["args"]) for call in first.tool_calls], [("get_weather", {"city": "Oslo"})])
        result = ToolMessage(get_weather.invoke(first.tool_calls[0]["args"]), tool_call_id=first.tool_calls[0]["id"])
        second = bound.invoke([*asked, first, result])
        self.assertEqual(second.content, "Tool said ok; final answer.")

    def test_streams_a_tool_call(self):
        bound = self.model().bind_tools([get_weather], tool_choice="get_weather")
        whole = None
        for piece in bound.stream("CLIENTTOOL please"):
            whole = piece if whole is None else whole + piece
        self.assertEqual([call["args"] for call in whole.tool_calls], [{"city": "Oslo"}])

    def test_shows_a_picture(self):
        content = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
        self.model().invoke([HumanMessage(content)])
        self.assertIn(PICTURE, str(self.asked()[-1]["body"]))

    def test_speaks_the_responses_api(self):
        reply = self.model(use_responses_api=True).invoke("good evening")
        self.assertRegex(reply.text, "^Hello from stub: .*good evening$")

    def test_runs_side_by_side(self):
        async def all_of_them():
            model = self.model()
            return await asyncio.gather(*(model.ainvoke(f"number {n}") for n in range(16)))

        replies = asyncio.run(all_of_them())
        for n, reply in enumerate(replies):
            self.assertRegex(reply.content, f"number {n}$")

    def test_embeds(self):
        embeddings = OpenAIEmbeddings(
            model="openclaw",
            api_key=TOKEN,
            base_url=f"http://127.0.0.1:{self.port}/v1",
            dimensions=32,
            # Without it LangChain sends numbers of OpenAI's own tokeniser, which only OpenAI can read.
            check_embedding_ctx_length=False,
        )
        rows = embeddings.embed_documents(["restart the gateway", "tomatoes"])
        self.assertEqual([len(row) for row in rows], [32, 32])


class LiteLlm(test_openai.Gateway):
    def options(self):
        return {"api_base": f"http://127.0.0.1:{self.port}/v1", "api_key": TOKEN, "timeout": 20, "num_retries": 0}

    def ask(self, text, **more):
        messages = [{"role": "user", "content": text}]
        return litellm.completion(model="openai/openclaw", messages=messages, **self.options(), **more)

    def test_completes(self):
        reply = self.ask("good morning")
        self.assertRegex(reply.choices[0].message.content, "^Hello from stub: .*good morning$")
        self.assertEqual(reply.usage.total_tokens, 18)

    def test_streams_with_usage(self):
        pieces = list(self.ask("one two three", stream=True, stream_options={"include_usage": True}))
        text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
        self.assertRegex(text, "^Hello from stub: .*one two three$")

    def test_calls_a_tool(self):
        function = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
        reply = self.ask("CLIENTTOOL please", tools=[{"type": "function", "function": function}])
        call = reply.choices[0].message.tool_calls[0].function
        self.assertEqual((call.name, call.arguments), ("get_weather", '{"city":"Oslo"}'))

    def test_embeds(self):
        reply = litellm.embedding(model="openai/openclaw", input=["a", "b"], **self.options())
        self.assertEqual(len(reply.data), 2)

    def test_errors_have_their_classes(self):
        with self.assertRaises(litellm.BadRequestError):
            self.ask("FAIL now")
        with self.assertRaises(litellm.AuthenticationError):
            litellm.completion(
                model="openai/openclaw",
                messages=[{"role": "user", "content": "hi"}],
                **{**self.options(), "api_key": "wrong"},
            )


if __name__ == "__main__":
    unittest.main(verbosity=2)
