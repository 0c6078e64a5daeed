"""A relay in front of the server: passes bytes on as they are, and keeps the beginning and the status of each request."""
import re
import socket
import threading

# Of a request: its head and the head of the first part.
KEPT = 4096
# An event stream has no end: after this silence it gets one, for clients that would wait for it.
SILENCE = 1.0


class Exchange:
    def __init__(self, head):
        self.head, self.status = head, None

    def line(self):
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")


class Relay:
    def __init__(self, server):
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
        for way in (self._to_server, self._to_client):
            threading.Thread(target=self._run, args=(way,), daemon=True).start()

    def _run(self, way):
        try:
            way()
        except OSError:
            pass
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _to_server(self):
        while data := self.client.recv(65536):
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
                    return self._to_client_until_silent(data)
            self.client.sendall(data)

    def _to_client_until_silent(self, data):
        self.server.settimeout(SILENCE)
        try:
            while data:
                self.client.sendall(data)
                data = self.server.recv(65536)
        except TimeoutError:
            self.client.sendall(b"0\r\n\r\n")
