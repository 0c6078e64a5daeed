"""Starts wapiti against the server, through a relay that counts, and judges its report. Started by wapiti.sh."""
import collections
import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from relay import Relay

SERVER, WORK, WAPITI = sys.argv[1:4]
DEFAULT = ("cookieflags,csp,exec,file,http_headers,permanentxss,redirect,sql,ssrf,upload,xss").split(",")
MORE = ("backup,brute_login_form,buster,cms,crlf,csrf,htaccess,https_redirect,ldap,methods,network_device,shellshock,"
        "spring4shell,timesql,wp_enum,xxe").split(",")
LEFT_OUT = {
    "nikto, htp, wapp": "they fetch their databases from GitHub, which was not to be had where this was written",
    "log4shell": "needs a name server of its own, and nothing here is Java",
    "ssl": "the service speaks HTTP; TLS is its proxy's",
    "takeover": "asks other name servers about subdomains, and an address has none",
}
# The page's form has both fields, and wapiti sends a GIF in each: the document is refused, the image not looked at.
# This one's image is stored, so that the answer for stored files is tried too.
PAGES = {"/image-alone": b'<form method="post" action="/upload" enctype="multipart/form-data">'
                         b'<input type="file" name="msa_imgs"><input type="submit"></form>'}
# Of one module; reaching it is a failure, for the rest would be left out.
MODULE_SECONDS = 240
LEVELS = ["info", "low", "medium", "high", "critical"]
MEDIUM = 2

# (category, regular expression for path and information): why it is not a weakness here.
ALLOWED = {
    ("Cross Site Request Forgery", "^/upload Lack of anti CSRF token"):
        "other origins are refused without a token, as was tried first; the session's cookie is SameSite=Strict",
    ("Spring4Shell", "^/uploads/photos/.*X-Amz-Signature"):
        "nothing here is Java; what is added to the link of a stored file is not what was signed, hence the other status",
    ("Internal Server Error", "^/uploads/photos/.*in the parameter X-Amz-Algorithm"):
        "501 of the store behind the link, S3's NotImplemented, for any other algorithm than AWS4-HMAC-SHA256",
    ("Clickjacking Protection", "^/ X-Frame-Options"): "the policy says frame-ancestors 'none', which replaces it",
    ("Unencrypted Channels", r"^/(uploads/photos/\S+)? No HTTPS redirection"): "TLS is the proxy's, and so is leading there",
    ("Secure Flag cookie", "^/ Secure flag is not set in the cookie : brigade_(session|known)"):
        "set when a trusted proxy says https; this is http on loopback",
    ("HTTP Methods", r"^(?!.*\((2|3|5)\d\d\))"): "methods that are refused",
    ("HTTP Methods", r"^/uploads/photos/.*heuristics(?!.*\((2|3|4|500)\d*\))"):
        "methods that the store behind the link has not: 501",
}


class Endpoint(BaseHTTPRequestHandler):
    """Where SSRF, XXE and file inclusion would lead: nobody but wapiti, which asks for the results, may come."""
    came = []

    def do_GET(self):
        if not re.match(r"/get_(ssrf|xxe)\.php\?", self.path):
            self.came.append("%s %s" % (self.command, self.path))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_HEAD = do_PUT = do_GET

    def log_message(self, *_):
        pass


def upload(url, **more):
    """A document of the client id `a`: status and answer."""
    edge = "of-wapiti"
    body = ('--%s\r\nContent-Disposition: form-data; name="docs_field"; filename="a.pdf"\r\n\r\n%%PDF-1.7\nx\r\n--%s--\r\n'
            % (edge, edge)).encode()
    headers = {"Content-Type": "multipart/form-data; boundary=" + edge, "X-Client-Id": "a", **more}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url + "/upload", body, headers), timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def forged(url):
    """Forms as browsers send them for pages of other origins; those that were not refused."""
    for headers in ({"Origin": "http://elsewhere.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        status, answer = upload(url, **headers)
        if (status, answer.get("code")) != (403, "origin_refused"):
            yield "a form with %s was answered %d: %s" % (headers, status, answer)


def scan(url, endpoint, begin, report):
    command = [WAPITI, "-u", url + "/", "--scope", "domain",
               "-m", ",".join(DEFAULT + MORE), "-l", "2", "-t", "10", "--max-attack-time", str(MODULE_SECONDS),
               "--endpoint", endpoint, "--store-session", WORK + "/session", "--store-config", WORK + "/config",
               "--flush-session", "--no-bugreport", "-v", "2", "-f", "json", "-o", report]
    for path in begin:
        command += ["-s", url + path]
    # Nothing of the caller's configuration, no proxy.
    environment = {"PATH": os.environ["PATH"], "HOME": WORK, "LANG": "C.UTF-8"}
    with open(WORK + "/wapiti.log", "wb") as log:
        running = subprocess.Popen(command, cwd=WORK, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            return running.wait()
        finally:
            running.kill()


def allowed(category, finding):
    about = "%s %s" % (finding["path"], finding["info"])
    return next((why for (of, what), why in ALLOWED.items() if of == category and re.search(what, about)), None)


def judge(kind, category, found):
    """Says how many there are, and why they are allowed; returns those that are not."""
    groups, wrong = collections.Counter(), []
    for finding in found:
        why, level = allowed(category, finding), LEVELS[finding["level"]]
        info = " ".join(finding["info"].split())
        about = "%s, %s: %s %s: %s" % (category, level, finding["method"], finding["path"], info)
        groups[level, why] += 1
        if not why and (finding["level"] >= MEDIUM or kind == "anomalies"):
            wrong.append(about)
        elif not why:
            print("  " + about)
    for (level, why), times in groups.items():
        print("%s, %s: %d%s" % (category, level, times, "; allowed: " + why if why else ""))
    return wrong


def main():
    wrong = []
    relay = Relay(SERVER, PAGES)
    endpoint = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    begin = ["/upload", "/uploads/x", "/events?client_id=a", "/ws?client_id=a", "/healthz", "/readyz", "/metrics"]
    begin += PAGES
    wrong += forged(relay.url)
    # So that there is an upload to ask about.
    begin.append("/uploads/" + upload(relay.url, Origin=relay.url)[1]["upload_id"])
    path = WORK + "/report.json"
    ended = scan(relay.url, "http://127.0.0.1:%d/" % endpoint.server_port, begin, path)
    with open(WORK + "/wapiti.log", encoding="utf-8", errors="replace") as file:
        log = file.read()
    if ended:
        print(log[-3000:], file=sys.stderr)
        wrong.append("wapiti ended with %d" % ended)

    exchanges = list(relay.exchanges)
    statuses = collections.Counter(exchange.status for exchange in exchanges)
    launched = re.findall(r"Launching module (\w+)", log)
    print("modules by default: %s" % " ".join(DEFAULT))
    print("and: %s" % " ".join(MORE))
    for module, why in LEFT_OUT.items():
        print("left out: %s: %s" % (module, why))
    print("%d requests; answered: %s" % (len(exchanges), ", ".join("%s %d" % (status or "none", statuses[status])
                                                                    for status in sorted(statuses, key=str))))
    if missing := sorted(set(DEFAULT + MORE) - set(launched)):
        wrong.append("not launched: %s" % " ".join(missing))
    wrong += re.findall(r"Max attack time was reached for module \w+", log)
    asked = {exchange.line().split(" ")[1] for exchange in exchanges if " " in exchange.line()}
    wrong += ["%s was not asked for" % start for start in ["/", *begin] if start not in asked and start not in PAGES]
    forms = sum(exchange.line().startswith("POST /upload ") for exchange in exchanges)
    print("%d of them forms" % forms)
    if forms < 100:
        wrong.append("the form was hardly tried")
    wrong += ["%s had no answer" % line for line in sorted({exchange.line() for exchange in exchanges if exchange.status is None})]
    wrong += ["%s answered %d" % (exchange.line(), exchange.status) for exchange in exchanges if (exchange.status or 0) >= 500]
    wrong += ["the service went to %s" % request for request in Endpoint.came]

    try:
        with open(path, encoding="utf-8") as file:
            report = json.load(file)
    except FileNotFoundError:
        report = {}
        wrong.append("no report")
    total = 0
    for kind, found in report.items():
        # Beside them are `classifications` and `infos`.
        for category, of_category in found.items() if kind in ("vulnerabilities", "anomalies", "additionals") else ():
            total += len(of_category)
            wrong += judge(kind, category, of_category)
    print("%d findings" % total)
    for what in wrong[:100]:
        print("  NOT AS EXPECTED: %s" % what)
    return 1 if wrong else 0


sys.exit(main())
