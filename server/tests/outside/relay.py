"""A relay in front of the server: passes bytes on, and keeps the beginning and the status of each request."""
import re
import socket
import threading

# Of a request: its head and the head of the first part.
KEPT = 4096
# An event stream has no end: after this silence it gets one, for clients that would wait for it.
SILENCE = 1.0
PAGE = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%s"


class Exchange:
    def __init__(self, head):
        self.head, self.status = head, None

    def line(self):
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")


class Relay:
    def __init__(self, server, pages=None):
        """`pages` by path: HTML that the relay answers with itself, for a crawler to find."""
        self.pages = pages or {}
        host, port = server.rsplit(":", 1)
        self.server = (host, int(port))
        self.exchanges = []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self.listener.accept()
            _Connection(self, client, socket.create_connection(self.server)).start()


class _Connection:
    def __init__(self, relay, client, server):
        self.relay, self.client, self.server = relay, client, server
        self.open = None

    def start(self):
        for way, to in ((self._to_server, self.server), (self._to_client, self.client)):
            threading.Thread(target=self._run, args=(way, to), daemon=True).start()

    @staticmethod
    def _run(way, to):
        """An end is passed on in its own direction only: what comes the other way may still be on its way."""
        try:
            way()
        except OSError:
            pass
        try:
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _to_server(self):
        while data := self.client.recv(65536):
            asked = re.match(rb"GET ([^ ?]+)", data)
            page = asked and self.relay.pages.get(asked[1].decode("latin-1"))
            if page and not self.open:
                self.client.sendall(PAGE % (len(page), page))
                continue
            if self.open:
                self.open.head = (self.open.head + data)[:KEPT]
            elif re.match(rb"[A-Z]+ \S+ HTTP/1", data):
                self.open = Exchange(data[:KEPT])
                self.relay.exchanges.append(self.open)
            self.server.sendall(data)

    def _to_client(self):
        while data := self.server.recv(65536):
            answer = re.sub(rb"^HTTP/1.1 100 .*?\r\n\r\n", b"", data, flags=re.S)
            begins = re.match(rb"HTTP/1.1 (\d+)", answer)
            if begins and self.open:
                self.open.status, self.open = int(begins[1]), None
                if b"content-type: text/event-stream" in answer:
                    closing = data.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
                    return self._to_client_until_silent(closing)
            self.client.sendall(data)

    def _to_client_until_silent(self, data):
        self.server.settimeout(SILENCE)
        try:
            while data:
                self.client.sendall(data)
                data = self.server.recv(65536)
        except TimeoutError:
            self.client.sendall(b"0\r\n\r\n")
