"""A whole receiver, to be read beside docs/receivers.md and to be copied.

It needs PyJWT and cryptography, which Debian has as python3-jwt and
python3-cryptography.

  RIPOSTE_URL=https://riposte.example.com RECEIVER_URL=https://example.com/hook python3 receiver.py

RECEIVER_URL    this receiver's URL, as the webhook has it
RIPOSTE_URL     the server's public URL: its JWT is checked
RIPOSTE_ISSUER  its --issuer, where that isn't its host name
WEBHOOK_SECRET  whsec_...: the webhook-signature is checked, too
LISTEN          host:port, 127.0.0.1:9000 when it isn't set
"""

import json
import os
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from verify import Refused, Unavailable, Verifier

MAX_BODY = 2 << 20  # bytes; a payload has up to 1 MiB


class Receiver:
    """The answers stand for a table of your database: what is done belongs into the
    transaction that notes its answer."""

    def __init__(self):
        self.answers = {}  # document and whether it goes by callback, by Webhook-Id
        self.lock = threading.Lock()

    def act_once(self, delivery):
        """Does what is asked the first time, and gives the same answer each time."""
        webhook_id = delivery["webhookId"]
        with self.lock:
            if webhook_id in self.answers:
                return self.answers[webhook_id]
            decision, later = decide(delivery["event"], delivery["payload"])
            document = json.dumps({"version": "v1", **decision}).encode()
            self.answers[webhook_id] = document, later
        print(f"acted on {webhook_id}: {document.decode()}", flush=True)
        if later:
            threading.Thread(target=call_back, args=(delivery, document), daemon=True).start()
        return document, later


def decide(event, payload):
    """Approves small amounts at once. A person would look at the others, which takes
    longer than a request may, so they are answered by callback."""
    if event == "c1.webhooks.v1.PayloadPolicyApprovalStep":
        if payload.get("amount", 0) > 1000:
            return {"deny": {"comment": "too much"}}, True
        return {"approve": {"comment": "fine by me"}}, False
    if event == "c1.webhooks.v1.PayloadProvisionStep":
        return {"complete": {}}, False
    if event == "c1.webhooks.v1.PayloadWorkflowStep":
        return {"context": {"manager": "grace"}}, False
    return {}, False


def call_back(delivery, document):
    """Posts the document until the server has said something final. The callback URL
    is a secret, and is not logged."""
    webhook_id, pause = delivery["webhookId"], 1
    request = urllib.request.Request(
        delivery["callbackUrl"], data=document, headers={"Content-Type": "application/json"}
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=15):
                print(f"called back for {webhook_id}", flush=True)
                return
        except urllib.error.HTTPError as err:
            if err.code < 500 and err.code != 429:
                print(f"called back for {webhook_id} in vain: {err.read().decode()}", flush=True)
                return
        except OSError:
            pass  # No reply: it may have counted. The same document again does no harm.
        time.sleep(pause)
        pause = min(2 * pause, 60)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10  # seconds that a peer may be silent
    verifier = None
    receiver = Receiver()

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self.answer(411, close=True)
        if len(length) > 15 or int(length) > MAX_BODY:
            return self.answer(413, close=True)
        body = self.rfile.read(int(length))
        try:
            self.verifier.verify(self.headers, body)
        except (Refused, Unavailable) as err:
            print(f"refused: {err}", flush=True)  # for us; the other side isn't told why
            return self.answer(503 if isinstance(err, Unavailable) else 401)
        delivery = json.loads(body)
        if delivery["webhookId"] != self.headers.get("Webhook-Id"):
            return self.answer(400)
        document, later = self.receiver.act_once(delivery)
        return self.answer(202) if later else self.answer(200, document)

    def answer(self, status, document=b"", close=False):
        self.send_response(status)
        if document:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(document)))
        if close:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(document)

    def log_message(self, *args):
        pass


def main():
    riposte_url = os.environ.get("RIPOSTE_URL")
    Handler.verifier = Verifier(
        receiver_url=os.environ["RECEIVER_URL"],
        riposte_url=riposte_url,
        issuer=os.environ.get("RIPOSTE_ISSUER") or (riposte_url and urlsplit(riposte_url).hostname),
        secret=os.environ.get("WEBHOOK_SECRET"),
    )
    host, _, port = os.environ.get("LISTEN", "127.0.0.1:9000").rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    print(f"listening on {host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
