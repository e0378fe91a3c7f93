"""client.py PORT: reads lines "METHOD PATH BODYBYTES" from standard input and makes these calls on one connection."""
import http.client, sys

conn = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
for line in sys.stdin:
    method, path, size = line.split()
    conn.request(method, path, body=b"b" * int(size) if int(size) else None)
    conn.getresponse().read()
conn.close()
