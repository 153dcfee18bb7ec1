"""A hosted image service on this machine, which speaks OpenAI's protocol and goes wrong as it is told to."""

import atexit
import base64
import email
import email.policy
import io
import json
import tempfile
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


class Service:
    """A server in a thread.

    Attributes:
        asked: path and fields of each request that was answered with an image.
        failures: functions of the handler that are called first, one a request, in place of an answer.
        answer: from the fields of a request to an image ``(height, width, 3)``.
        by_address: answer with the address of the image.
        lose_files: do not give what is at such an address.
    """

    def __init__(self):
        self.asked = []
        self.failures = []
        self.by_address = False
        self.lose_files = False
        self.answer = lambda fields: np.full((16, 16, 3), 40 * len(self.asked) % 256, np.uint8)
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                kind = self.headers["content-type"]
                if kind.startswith("application/json"):
                    fields = json.loads(body)
                else:
                    head = b"content-type: " + kind.encode() + b"\r\n\r\n"
                    parts = email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()
                    fields = {
                        p.get_param("name", header="content-disposition"): p.get_payload(decode=True) for p in parts
                    }
                fields["authorization"] = self.headers["authorization"]
                if service.failures:
                    service.failures.pop(0)(self)
                    return
                service.asked.append((self.path, fields))
                image = png(service.answer(fields))
                item = {"b64_json": image}
                if service.by_address:
                    item = {"url": f"http://127.0.0.1:{service.port}/{len(service.asked)}.png"}
                    service.file = base64.b64decode(image)
                self.say(200, json.dumps({"created": 1, "data": [item]}))

            def do_GET(self):
                self.say(404 if service.lose_files else 200, service.file, "image/png")

            def say(self, status, content, kind="application/json", **headers):
                content = content if isinstance(content, bytes) else content.encode()
                self.send_response(status)
                for name, value in {"content-type": kind, "content-length": len(content), **headers}.items():
                    self.send_header(name.replace("_", "-"), str(value))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@cache
def small_service() -> dict[str, Any]:
    """Settings of an editor for a service that is there until the tests are over."""
    service, folder = Service(), tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    atexit.register(service.close)
    key = Path(folder.name) / "key"
    key.write_text("sk-1")
    return {"model": "painter-1", "address": f"http://127.0.0.1:{service.port}/v1", "key_file": str(key),
            "size": "36x24", "yes": True, "answers": str(Path(folder.name) / "answers")}  # fmt: skip
