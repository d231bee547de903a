"""A real Matrix homeserver (matrix-synapse from PyPI) and the built gateway. Run with: python -m unittest -v test_matrix"""

import json
import pathlib
import subprocess
import sys
import tempfile
import shutil
import unittest
import urllib.error
import urllib.parse
import urllib.request

import test_openai
from test_openai import START_LIMIT, STOP_LIMIT, answers, free_port, until

DOMAIN = "home.test"


class Synapse:
    """A homeserver with its database in a folder of its own."""

    def __init__(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="openclaw-synapse-"))
        self.port = free_port()
        self.root = f"http://127.0.0.1:{self.port}"
        self.config = {
            "server_name": DOMAIN,
            "pid_file": str(self.home / "pid"),
            "report_stats": False,
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "registration_shared_secret": "suite-registration",
            "macaroon_secret_key": "suite-macaroon",
            "form_secret": "suite-form",
            "suppress_key_server_warning": True,
            "trusted_key_servers": [],
            "signing_key_path": str(self.home / "signing.key"),
            "media_store_path": str(self.home / "media"),
            "database": {"name": "sqlite3", "args": {"database": str(self.home / "home.db")}},
            "listeners": [
                {
                    "port": self.port,
                    "type": "http",
                    "bind_addresses": ["127.0.0.1"],
                    "resources": [{"names": ["client", "media"], "compress": False}],
                }
            ],
            "rc_message": {"per_second": 1000, "burst_count": 1000},
            "rc_login": {"address": {"per_second": 1000, "burst_count": 1000}},
            "rc_registration": {"per_second": 1000, "burst_count": 1000},
        }
        self.log = (self.home / "log").open("w+")
        path = self.home / "homeserver.yaml"
        path.write_text(json.dumps(self.config))
        program = [sys.executable, "-m", "synapse.app.homeserver", "-c", str(path)]
        subprocess.run([*program, "--generate-keys"], check=True, cwd=self.home, stdout=self.log, stderr=self.log)
        self.process = subprocess.Popen(program, cwd=self.home, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"synapse ended with {self.process.returncode}: {(self.home / 'log').read_text()}")
            return answers(f"{self.root}/_matrix/client/versions")

        until("synapse answers", ready, 6 * START_LIMIT)

    def stop(self):
        self.process.terminate()
        self.process.wait(STOP_LIMIT)
        self.log.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def call(self, method, path, body=None, token=None):
        request = urllib.request.Request(f"{self.root}/_matrix/client/v3/{path}", method=method)
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=30) as reply:
            return json.load(reply)

    def user(self, name):
        body = {"username": name, "password": f"password-{name}", "auth": {"type": "m.login.dummy"}}
        return self.call("POST", "register", body)["access_token"]


class Matrix(test_openai.Gateway):
    @classmethod
    def setUpClass(cls):
        cls.synapse = Synapse()
        cls.addClassCleanup(cls.synapse.stop)
        cls.ada = cls.synapse.user("ada")
        cls.synapse.user("bot")
        cls.channels = {
            "matrix": {
                "homeserver": cls.synapse.root,
                "userId": f"@bot:{DOMAIN}",
                "password": "password-bot",
                "autoJoin": "allowlist",
                "autoJoinAllowlist": [f"@ada:{DOMAIN}"],
                "allowFrom": [f"@ada:{DOMAIN}"],
                "groupPolicy": "open",
                "groupAllowFrom": [f"@ada:{DOMAIN}"],
                "pollSeconds": 2,
            }
        }
        super().setUpClass()

    def room(self, **more):
        body = {"invite": [f"@bot:{DOMAIN}"], **more}
        room = self.synapse.call("POST", "createRoom", body, self.ada)["room_id"]

        def joined():
            path = f"rooms/{urllib.parse.quote(room)}/joined_members"
            return f"@bot:{DOMAIN}" in self.synapse.call("GET", path, token=self.ada)["joined"]

        until("the bot joined", joined, 30)
        return urllib.parse.quote(room)

    def say(self, room, content, number=[0]):
        number[0] += 1
        body = content if isinstance(content, dict) else {"msgtype": "m.text", "body": content}
        return self.synapse.call("PUT", f"rooms/{room}/send/m.room.message/t{number[0]}", body, self.ada)["event_id"]

    def bot_said(self, room):
        found = self.synapse.call("GET", f"rooms/{room}/messages?dir=b&limit=50", token=self.ada)["chunk"]
        said = [event["content"] for event in reversed(found) if event["sender"] == f"@bot:{DOMAIN}"]
        return [content.get("m.new_content", content) for content in said if content.get("msgtype")]

    def test_answers_in_a_direct_room_once(self):
        room = self.room(is_direct=True, preset="trusted_private_chat")
        self.say(room, "good morning")

        def done():
            return [content for content in self.bot_said(room) if content["body"].endswith("good morning")]

        until("the answer is there", done, 30)
        self.say(room, "and again")
        until("the second answer", lambda: [c for c in self.bot_said(room) if c["body"].endswith("and again")], 30)
        self.assertEqual(len({content["body"] for content in self.bot_said(room) if "morning" in content["body"]}), 1)

    def test_answers_in_a_room_when_named_and_in_its_thread(self):
        room = self.room(name="Kitchen")
        self.synapse.call("POST", f"rooms/{room}/invite", {"user_id": f"@cook:{DOMAIN}"}, self.ada)
        root = self.say(room, "nobody is named")
        relation = {"rel_type": "m.thread", "event_id": root}
        # Two people are a direct chat for the gateway until the third has come.
        cook = self.synapse.user("cook")
        self.synapse.call("POST", f"rooms/{room}/join", {}, cook)
        self.say(room, {"msgtype": "m.text", "body": "bot: what is cooking?", "m.relates_to": relation})

        def threaded():
            found = self.synapse.call("GET", f"rooms/{room}/messages?dir=b&limit=50", token=self.ada)["chunk"]
            own = [event["content"] for event in found if event["sender"] == f"@bot:{DOMAIN}"]
            return [c for c in own if c.get("m.relates_to", {}).get("event_id") == root and "cooking" in c.get("body", "")]

        until("the answer is in the thread", threaded, 30)

    def test_says_that_it_cannot_read_an_encrypted_room(self):
        state = [{"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
        room = self.room(is_direct=True, initial_state=state)
        body = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AAAA", "session_id": "s", "sender_key": "k"}
        self.synapse.call("PUT", f"rooms/{room}/send/m.room.encrypted/e1", body, self.ada)
        until("it says so", lambda: [c for c in self.bot_said(room) if "end-to-end encrypted" in c["body"]], 30)

    def test_the_command_line_sees_the_account(self):
        status = subprocess.run(
            [test_openai.BINARY, "channels", "status", "--probe", "--json", "--url", f"ws://127.0.0.1:{self.port}",
             "--token", test_openai.TOKEN],
            capture_output=True, text=True, timeout=30, env={"HOME": str(self.home), "PATH": "/usr/bin:/bin"},
        )
        account = json.loads(status.stdout)["channelAccounts"]["matrix"][0]
        self.assertEqual(account["identity"], f"@bot:{DOMAIN}", status.stderr)
        self.assertTrue(account["probe"]["ok"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
