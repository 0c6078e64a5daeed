"""Uploads with each writer, reads back what is stored, says one line a writer. Started by writers.sh."""
import asyncio
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from importlib.metadata import version

import aiohttp
import httpx
import requests
from requests_toolbelt import MultipartEncoder

from relay import Relay

MIB = 1 << 20
BOUND = 60
SERVER, WORK = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT, IMAGE = "Prüfbericht № 7 – 検査.pdf", "Фото пляж ☀.jpg"
TYPES = {"docs_field": "application/pdf", "msa_imgs": "image/jpeg"}
# Sizes of document and image: below, at and above the size from which an object is stored in parts.
SIZES = [(5 * MIB - 1, 100_003), (5 * MIB, 1_048_577), (5 * MIB + 1, 5 * MIB - 1), (12_345_679, 5 * MIB + 1)]


def content(head, size):
    """The head, chance, and what looks like the beginning of a delimiter: within, and at the very end."""
    data = bytearray(head + random.Random(size).randbytes(size - len(head)))
    for at in (len(head), size // 2, size - 12):
        data[at:at + 12] = b"\r\n--\r\n------"
    data[-4:] = b"\r\n--"
    return bytes(data)


PDF = b"%PDF-1.7\n"
# Of 8 x 8 pixels, up to where the picture begins.
JPEG = (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + b"\xff\xc0\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0"
        + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0")


class Case:
    def __init__(self, sizes, declared):
        self.name = "%d+%d %s" % (*sizes, "declared" if declared else "not declared")
        self.files = []
        for field, name, head, size in zip(TYPES, (DOCUMENT, IMAGE), (PDF, JPEG), sizes):
            directory = os.path.join(WORK, "files", str(size))
            path = os.path.join(directory, name)
            if not os.path.exists(path):
                os.makedirs(directory, exist_ok=True)
                with open(path, "wb") as file:
                    file.write(content(head, size))
            self.files.append((field, name, path))
        lengths = zip(("X-Docs-Filesize", "X-Image-Filesize"), map(str, sizes))
        self.headers = dict(lengths) if declared else {}

    def open(self):
        return [(field, name, open(path, "rb"), TYPES[field]) for field, name, path in self.files]


# --- the writers: each takes the address and the case, and returns status and answer

def by_requests(url, case):
    files = {field: rest for field, *rest in case.open()}
    answer = requests.post(url, files=files, headers=case.headers, timeout=BOUND)
    return answer.status_code, answer.text


def _toolbelt(url, case, body):
    encoder = MultipartEncoder({"note": "ü", **{field: tuple(rest) for field, *rest in case.open()}})
    headers = {"Content-Type": encoder.content_type, **case.headers}
    answer = requests.post(url, data=body(encoder), headers=headers, timeout=BOUND)
    return answer.status_code, answer.text


def by_toolbelt(url, case):
    return _toolbelt(url, case, lambda encoder: encoder)


def by_toolbelt_chunked(url, case):
    return _toolbelt(url, case, lambda encoder: iter(lambda: encoder.read(10_007), b""))


async def _pieces(file):
    while piece := file.read(10_007):
        yield piece


def _aiohttp(url, case, of_file, quoted=True):
    async def post():
        form = aiohttp.FormData(quote_fields=quoted)
        for field, name, file, kind in case.open():
            form.add_field(field, of_file(file), filename=name, content_type=kind)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(BOUND)) as session:
            async with session.post(url, data=form, headers=case.headers) as answer:
                return answer.status, await answer.text()
    return asyncio.run(post())


def by_aiohttp(url, case):
    return _aiohttp(url, case, lambda file: file)


def by_aiohttp_unquoted(url, case):
    return _aiohttp(url, case, lambda file: file, quoted=False)


def by_aiohttp_chunked(url, case):
    return _aiohttp(url, case, _pieces)


def by_httpx(url, case):
    files = {field: tuple(rest) for field, *rest in case.open()}
    answer = httpx.post(url, files=files, headers=case.headers, timeout=BOUND, trust_env=False)
    return answer.status_code, answer.text


class Unsized:
    """A file that knows neither its length nor how to seek: httpx then does not know the form's length."""
    def __init__(self, file):
        self.file = file

    def read(self, size=-1):
        return self.file.read(size)


def by_httpx_chunked(url, case):
    files = {field: (name, Unsized(file), kind) for field, name, file, kind in case.open()}
    answer = httpx.post(url, files=files, headers=case.headers, timeout=BOUND, trust_env=False)
    return answer.status_code, answer.text


def _run(*command):
    done = subprocess.run(command, capture_output=True, timeout=BOUND, check=False)
    status, _, answer = done.stdout.decode().partition("\n")
    if done.returncode or not status.isdigit():
        raise RuntimeError("ended with %d: %s" % (done.returncode, done.stderr.decode()[-500:]))
    return int(status), answer


def _node(writer):
    def post(url, case):
        files = [{"field": field, "name": name, "path": path, "type": TYPES[field]} for field, name, path in case.files]
        asked = json.dumps({"writer": writer, "url": url, "headers": case.headers, "files": files})
        return _run("node", os.path.join(HERE, "writers.mjs"), os.path.join(WORK, "node"), asked)
    return post


def _curl(*options):
    def post(url, case):
        told = os.path.join(WORK, "answer")
        form = [word for field, name, path in case.files for word in ("-F", "%s=@%s;type=%s" % (field, path, TYPES[field]))]
        headers = [word for header in case.headers.items() for word in ("-H", "%s: %s" % header)]
        status, _ = _run("curl", "-sS", "--noproxy", "*", "-o", told, "-w", "%{http_code}\n", *headers, *options, *form, url)
        with open(told, encoding="utf-8") as file:
            return status, file.read()
    return post


def plain(name):
    return name


def percent(name):
    """As aiohttp writes it unless told otherwise. To the service `%` is a letter, as it is to browsers."""
    return urllib.parse.quote(name, safe="")


# Name, version, framing that it must show, name that is kept, writer.
def writers():
    node = json.loads(subprocess.check_output(["node", "-p", "JSON.stringify(process.versions)"]))
    curl = subprocess.check_output(["curl", "--version"], text=True).split()[1]

    def npm(package):
        with open(os.path.join(WORK, "node/node_modules", package, "package.json"), encoding="utf-8") as file:
            return json.load(file)["version"]

    return [
        ("requests", version("requests"), "length", plain, by_requests),
        ("requests-toolbelt", version("requests-toolbelt"), "length", plain, by_toolbelt),
        ("requests-toolbelt", version("requests-toolbelt"), "chunked", plain, by_toolbelt_chunked),
        ("aiohttp", version("aiohttp"), "length", percent, by_aiohttp),
        ("aiohttp, unquoted", version("aiohttp"), "length", plain, by_aiohttp_unquoted),
        ("aiohttp", version("aiohttp"), "chunked", percent, by_aiohttp_chunked),
        ("httpx", version("httpx"), "length", plain, by_httpx),
        ("httpx", version("httpx"), "chunked", plain, by_httpx_chunked),
        ("fetch of Node " + node["node"], node["undici"], "length", plain, _node("fetch")),
        ("fetch of Node " + node["node"], node["undici"], "chunked", plain, _node("fetch-chunked")),
        ("undici", npm("undici"), "length", plain, _node("undici")),
        ("undici request", npm("undici"), "length", plain, _node("undici-request")),
        ("form-data", npm("form-data"), "length", plain, _node("form-data")),
        ("form-data", npm("form-data"), "chunked", plain, _node("form-data-chunked")),
        ("axios", npm("axios"), "length", plain, _node("axios")),
        ("got", npm("got"), "length", plain, _node("got")),
        ("node-fetch", npm("node-fetch"), "length", plain, _node("node-fetch")),
        ("curl", curl, "length", plain, _curl()),
        ("curl", curl, "chunked", plain, _curl("-H", "Transfer-Encoding: chunked")),
    ]


# --- what must be so

def read_back(link):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(link, timeout=BOUND) as answer:
        return answer.read(), answer.headers


def judge(case, status, answer, kept):
    """What is not as expected. `kept` says the name under which a name is stored."""
    if status != 200:
        return ["status %d: %s" % (status, answer[:300])]
    wrong, outcomes = [], {file["field"]: file for file in json.loads(answer)["files"]}
    if list(outcomes) != list(TYPES):
        return ["files %s" % list(outcomes)]
    for field, name, path in case.files:
        outcome = outcomes[field]
        with open(path, "rb") as file:
            sent = file.read()
        said = (outcome["outcome"], outcome.get("size"), outcome.get("content_type"))
        if said != ("stored", len(sent), TYPES[field]):
            wrong.append("%s: %s" % (field, said))
            continue
        stored, headers = read_back(outcome["link"])
        if hashlib.sha256(stored).digest() != hashlib.sha256(sent).digest():
            wrong.append("%s: %d bytes were stored that are not the %d sent" % (field, len(stored), len(sent)))
        if headers["Content-Type"] != TYPES[field]:
            wrong.append("%s: stored as %s" % (field, headers["Content-Type"]))
        disposition = headers["Content-Disposition"]
        shown = re.search(r"filename\*=UTF-8''(\S+)", disposition)
        if not shown or urllib.parse.unquote(shown[1]) != kept(name):
            wrong.append("%s: stored under the name %s" % (field, disposition))
    return wrong


def framing(head):
    head = head.split(b"\r\n\r\n", 1)[0].lower()
    return "chunked" if b"transfer-encoding: chunked" in head else "length" if b"content-length:" in head else "neither"


def spelling(head):
    """How the writer spelt the first file's name."""
    written = re.search(rb"filename\*?=[^\r]*", head)
    return written[0].decode("utf-8", "replace") if written else "not seen"


def main():
    relay = Relay(SERVER)
    cases = [Case(sizes, declared) for sizes in SIZES for declared in (True, False)]
    failed = tried = stored = 0
    all_of = writers()
    for name, version_of, framed, kept, post in all_of:
        passed, wrong, spelt = 0, [], "not seen"
        for case in cases:
            tried += 1
            del relay.exchanges[:]
            try:
                found = judge(case, *post(relay.url + "/upload", case), kept)
            except Exception as error:  # whatever a client raises is a failure of this case
                found = ["%s: %s" % (type(error).__name__, error)]
            heads = [exchange.head for exchange in relay.exchanges]
            if [framing(head) for head in heads] != [framed]:
                found.append("framed by %s" % [framing(head) for head in heads])
            spelt = spelling(heads[0]) if heads else spelt
            if kept(DOCUMENT) not in spelt:
                found.append("the name is spelt %s" % spelt)
            wrong += ["  NOT AS EXPECTED: %s: %s" % (case.name, what) for what in found]
            passed += not found
        stored += 2 * passed
        failed += len(cases) - passed
        print("%-22s %-8s %-8s %d of %d forms as sent; %s" % (name, version_of, framed, passed, len(cases), spelt), flush=True)
        for line in wrong:
            print(line, flush=True)
    told = (len({re.match(r"[^ ,]+", name)[0] for name, *_ in all_of}), len(all_of), tried - failed, tried, stored)
    print("%d writers in %d ways: %d of %d forms, %d files byte-equal" % told, flush=True)
    return 1 if failed else 0


sys.exit(main())
