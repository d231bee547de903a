"""The openai package from PyPI against the built gateway. Run with: python -m unittest -v test_openai"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import openai

HERE = pathlib.Path(__file__).resolve().parent
BINARY = os.environ.get("OPENCLAW_BIN") or str(HERE.parent.parent / "target/release/openclaw")
NODE = os.environ.get("NODE") or "node"
TOKEN = "suite-token-0123456789abcdef-0123456789abcdef"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}

# From exec to 200 on /healthz, and from SIGTERM to the end.
START_LIMIT = 20
STOP_LIMIT = 20


def until(what, look, limit=10.0):
    """Looks every few milliseconds until `look` gives something truthy."""
    end = time.monotonic() + limit
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit} s in vain until {what}")
        time.sleep(0.005)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


class Gateway(unittest.TestCase):
    """A gateway over a scripted upstream, for one class of tests."""

    # Messengers it is connected to.
    channels = {}

    @classmethod
    def setUpClass(cls):
        cls.upstream = subprocess.Popen(
            [NODE, HERE / "upstream.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        cls.addClassCleanup(cls.end_upstream)
        cls.upstream_port = int(cls.upstream.stdout.readline())
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="openclaw-suite-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        for folder in ("state", "workspace", "tmp"):
            (cls.home / folder).mkdir()
        provider = {
            "baseUrl": f"http://127.0.0.1:{cls.upstream_port}/v1",
            "apiKey": "sk-suite",
            "api": "openai-completions",
            "models": [{"id": "stub-model", "name": "Stub Model", "contextWindow": 128000, "maxTokens": 4096}],
        }
        config = {
            "gateway": {
                "mode": "local",
                "auth": {"mode": "token", "token": TOKEN},
                "http": {"endpoints": {"chatCompletions": {"enabled": True}}},
            },
            "agents": {
                "defaults": {"model": {"primary": "stub/stub-model"}, "workspace": str(cls.home / "workspace")}
            },
            "models": {"providers": {"stub": provider}},
        }
        config["channels"] = cls.channels
        path = cls.home / "state/openclaw.json"
        path.write_text(json.dumps(config, indent=2))
        cls.port = free_port()
        cls.log = (cls.home / "gateway.log").open("w+")
        cls.addClassCleanup(cls.log.close)
        cls.gateway = subprocess.Popen(
            [BINARY, "gateway", "--port", str(cls.port)],
            cwd=cls.home,
            stdin=subprocess.DEVNULL,
            stdout=cls.log,
            stderr=cls.log,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(cls.home),
                "TMPDIR": str(cls.home / "tmp"),
                "TZ": "UTC",
                "OPENCLAW_STATE_DIR": str(cls.home / "state"),
                "OPENCLAW_CONFIG_PATH": str(path),
            },
        )
        cls.addClassCleanup(cls.end_gateway)

        def ready():
            if cls.gateway.poll() is not None:
                raise AssertionError(f"the gateway ended with {cls.gateway.returncode}: {cls.said()}")
            return answers(f"http://127.0.0.1:{cls.port}/healthz")

        until("the gateway answers /healthz", ready, START_LIMIT)
        cls.client = cls.with_key(TOKEN)

    @classmethod
    def said(cls):
        cls.log.flush()
        return (cls.home / "gateway.log").read_text()

    @classmethod
    def with_key(cls, key):
        return openai.OpenAI(api_key=key, base_url=f"http://127.0.0.1:{cls.port}/v1", max_retries=0, timeout=20)

    @classmethod
    def end_gateway(cls):
        cls.gateway.terminate()
        try:
            code = cls.gateway.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            cls.gateway.kill()
            cls.gateway.wait()
            raise AssertionError(f"the gateway did not stop: {cls.said()}") from None
        if code != 0:
            raise AssertionError(f"the gateway ended with {code}: {cls.said()}")

    @classmethod
    def end_upstream(cls):
        cls.upstream.stdin.close()
        cls.upstream.stdout.close()
        cls.upstream.wait(STOP_LIMIT)

    def asked(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.upstream_port}/asked", timeout=5) as reply:
            return json.load(reply)


class Suite(Gateway):
    def say(self, content, **more):
        messages = [{"role": "user", "content": content}]
        return self.client.chat.completions.create(model="openclaw", messages=messages, **more)

    def test_lists_the_models(self):
        ids = [model.id for model in self.client.models.list()]
        self.assertEqual(ids, ["openclaw", "openclaw/default", "openclaw/main"])

    def test_retrieves_a_model_with_a_slash_in_its_name(self):
        for name in ("openclaw", "openclaw/default", "openclaw/main"):
            self.assertEqual(self.client.models.retrieve(name).id, name)

    def test_completes_a_chat(self):
        reply = self.say("good morning")
        self.assertEqual(reply.object, "chat.completion")
        self.assertEqual(reply.choices[0].finish_reason, "stop")
        self.assertRegex(reply.choices[0].message.content, "^Hello from stub: .*good morning$")
        self.assertEqual(reply.usage.to_dict(), USAGE)

    def test_streams_a_chat_with_its_usage_at_the_end(self):
        chunks = list(self.say("one two three", stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        self.assertRegex(text, "^Hello from stub: .*one two three$")
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual(chunks[-1].choices, [])
        self.assertEqual(chunks[-1].usage.to_dict(), USAGE)
        self.assertGreater(sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content), 1)

    def test_streams_no_usage_unasked(self):
        self.assertTrue(all(chunk.usage is None for chunk in self.say("quiet", stream=True)))

    def test_keeps_one_session_per_user(self):
        self.say("the word is swordfish", user="python-suite")
        reply = self.say("RECALL", user="python-suite")
        self.assertIn("the word is swordfish", reply.choices[0].message.content)

    def test_creates_a_response_and_continues_it(self):
        first = self.client.responses.create(model="openclaw", input="the word is herring-python")
        self.assertRegex(first.output_text, "^Hello from stub: .*herring-python$")
        second = self.client.responses.create(model="openclaw", input="RECALL", previous_response_id=first.id)
        self.assertIn("herring-python", second.output_text)

    def test_streams_a_response(self):
        with self.client.responses.stream(model="openclaw", input="one two three") as stream:
            kinds = [event.type for event in stream]
            response = stream.get_final_response()
        self.assertRegex(response.output_text, "^Hello from stub: .*one two three$")
        self.assertEqual((kinds[0], kinds[-1]), ("response.created", "response.completed"))
        self.assertGreater(kinds.count("response.output_text.delta"), 1)

    def test_calls_a_tool_of_its_own_within_a_response(self):
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
        tools = [{"type": "function", "name": "get_weather", "parameters": parameters, "strict": False}]
        first = self.client.responses.create(model="openclaw", input="CLIENTTOOL please", tools=tools)
        call = next(item for item in first.output if item.type == "function_call")
        self.assertEqual((call.name, call.arguments), ("get_weather", '{"city":"Oslo"}'))
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        second = self.client.responses.create(
            model="openclaw", input=[result], tools=tools, previous_response_id=first.id
        )
        self.assertEqual(second.output_text, "Tool said ok; final answer.")

    def test_makes_embeddings(self):
        reply = self.client.embeddings.create(model="openclaw", input=["restart the gateway", "tomatoes"], dimensions=32)
        self.assertEqual([len(row.embedding) for row in reply.data], [32, 32])

    def test_passes_on_what_the_upstream_refused(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.say("FAIL now")
        self.assertEqual(caught.exception.type, "invalid_request_error")
        self.assertIn("stub bad request", str(caught.exception))

    def test_an_error_in_a_stream_is_raised(self):
        with self.assertRaises(openai.APIError) as caught:
            list(self.say("FAIL now", stream=True))
        self.assertIn("stub bad request", str(caught.exception))

    def test_is_told_of_a_model_that_does_not_exist(self):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "hi"}])
        self.assertIn("Invalid `model`. Use `openclaw` or `openclaw/<agentId>`.", str(caught.exception))

    def test_is_refused_with_a_wrong_key(self):
        with self.assertRaises(openai.AuthenticationError) as caught:
            self.with_key("wrong").models.list()
        self.assertEqual(caught.exception.status_code, 401)
        self.assertEqual(caught.exception.type, "unauthorized")

    def test_ends_the_upstream_call_when_it_leaves(self):
        stream = self.say("SLOW python-leaves", stream=True)
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
        stream.close()

        def left():
            return any("python-leaves" in json.dumps(entry["body"]) and entry["left"] for entry in self.asked())

        until("the upstream call is gone", left, 1.0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
