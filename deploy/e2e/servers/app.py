"""The test API on Python's own servers: app.py single|threaded|asyncio PORT LOG

Every request that was answered is one JSON line in LOG: m method, p path with query, s status, q and r body bytes.
The routes are those of servers.go.
"""
import asyncio, http.server, json, os, sys, time

MODE, PORT, LOG = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], "ab", buffering=0)


def log(method, path, status, request, response):
    os.write(LOG.fileno(), json.dumps({"m": method, "p": path, "s": status, "q": request, "r": response}).encode() + b"\n")


def answer(method, path, body):
    """(status, body or list of chunks, seconds to wait first)"""
    route = path.split("?")[0]
    if route.startswith("/items/"):
        item = route[len("/items/"):]
        if method == "DELETE":
            return 204, b"", 0
        return 200, json.dumps({"id": item, "name": "lamp", "tags": ["a"] * (len(item) * 5)}).encode(), 0
    if route == "/items" and method == "POST":
        return 201, b'{"stored":%d}' % len(body), 0
    if route.startswith("/upload/"):
        return 200, b'{"stored":%d}' % len(body), 0
    if route == "/big":
        return 200, b"x" * 262144, 0
    if route == "/stream":
        return 200, [b"y" * 4096] * 16, 0
    if route == "/slow":
        return 200, b"late", 0.3
    return 404, b"no such thing", 0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, out, wait = answer(self.command, self.path, body)
        time.sleep(wait)
        self.send_response(status)
        sent = 0
        if isinstance(out, list):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in out:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                sent += len(piece)
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(out)
                sent = len(out)
        self.wfile.flush()
        log(self.command, self.path, status, len(body), sent)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_one


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, path, _ = first.split(" ")
            fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            status, out, wait = answer(method, path, body)
            await asyncio.sleep(wait)
            sent = 0
            if isinstance(out, list):
                writer.write(b"HTTP/1.1 %d X\r\nTransfer-Encoding: chunked\r\n\r\n" % status)
                for piece in out:
                    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    await writer.drain()
                    sent += len(piece)
                writer.write(b"0\r\n\r\n")
            else:
                sent = 0 if method == "HEAD" else len(out)
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(out)) + (out if sent else b""))
            await writer.drain()
            log(method, path, status, len(body), sent)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def run():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, limit=1 << 20, backlog=2048)
    print("ready", flush=True)
    await server.serve_forever()


if MODE == "asyncio":
    asyncio.run(run())
else:
    kind = {"single": http.server.HTTPServer, "threaded": http.server.ThreadingHTTPServer}[MODE]
    kind.request_queue_size = 2048
    with kind(("127.0.0.1", PORT), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
