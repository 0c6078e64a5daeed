"""Times GET /uploads/{id} for ids that are not the asker's, one kind after the other. Started by guessing.sh."""
import http.client
import json
import random
import re
import socket
import statistics
import string
import sys
import time

SERVER, REQUESTS = sys.argv[1], int(sys.argv[2])
LETTERS = string.ascii_letters + string.digits + "-_"
LENGTH = 22
BOUND = 0.20


def page():
    """What a browser has that opens the page: its cookies and the page's client id."""
    connection = http.client.HTTPConnection(SERVER, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    html = answer.read().decode()
    cookies = [value.split(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
    return "; ".join(cookies), re.search('data-client-id="([^"]+)"', html)[1]


def upload(cookies, client):
    edge = "of-the-guesser"
    body = ('--%s\r\nContent-Disposition: form-data; name="docs_field"; filename="a.pdf"\r\n\r\n%%PDF-1.7\nx\r\n--%s--\r\n'
            % (edge, edge)).encode()
    connection = http.client.HTTPConnection(SERVER, timeout=10)
    connection.request("POST", "/upload", body, {
        "Content-Type": "multipart/form-data; boundary=" + edge, "X-Client-Id": client, "Cookie": cookies,
        "Origin": "http://" + SERVER})
    return json.load(connection.getresponse())["upload_id"]


class Connection:
    def __init__(self, cookies):
        host, port = SERVER.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = "HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n" % (SERVER, cookies)

    def ask(self, name):
        """The status, and the microseconds until the whole answer was there."""
        request = ("GET /uploads/%s %s" % (name, self.rest)).encode()
        began = time.perf_counter_ns()
        self.socket.sendall(request)
        answer = self.socket.recv(65536)
        while not whole(answer):
            answer += self.socket.recv(65536)
        return int(answer[9:12]), (time.perf_counter_ns() - began) / 1000


def whole(answer):
    head, end, body = answer.partition(b"\r\n\r\n")
    return bool(end) and len(body) == int(re.search(rb"content-length: (\d+)", head)[1])


def main():
    owner = page()
    known = upload(*owner)
    chance = random.Random(6)

    def some(letters):
        return "".join(chance.choices(letters, k=LENGTH))

    # Name, status that it must have, ids.
    kinds = [
        ("unknown", 404, lambda: some(LETTERS)),
        ("all but the last letter of an existing one", 404,
         lambda: known[:-1] + chance.choice(LETTERS.replace(known[-1], ""))),
        ("malformed", 404, lambda: some("!.~*")),
        ("malformed, one letter", 404, lambda: chance.choice(LETTERS)),
        ("an existing one of another session", 403, lambda: known),
    ]
    connection = Connection(page()[0])
    taken = {name: [] for name, *_ in kinds}
    wrong = [] if Connection(owner[0]).ask(known)[0] == 200 else ["its own session does not get it"]
    # Some to warm up, and never in the same order.
    for turn in range(-REQUESTS // 10, REQUESTS):
        for name, wanted, make in chance.sample(kinds, len(kinds)):
            status, microseconds = connection.ask(make())
            if status != wanted:
                wrong.append("%s: answered %d" % (name, status))
            if turn >= 0:
                taken[name].append(microseconds)
    median = statistics.median(taken["unknown"])
    for name, wanted, _ in kinds:
        low, middle, high = statistics.quantiles(taken[name], n=4)
        off = middle / median - 1
        print("%-44s %d  %d requests, median %.1f us, quartiles %.1f and %.1f; %+.1f %%"
              % (name, wanted, len(taken[name]), middle, low, high, 100 * off))
        if wanted == 404 and abs(off) > BOUND:
            wrong.append("%s: %+.0f %% of an unknown one's time" % (name, 100 * off))
    for what in sorted(set(wrong)):
        print("  NOT AS EXPECTED: %s" % what)
    return 1 if wrong else 0


sys.exit(main())
