package http1

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

var signNames = []string{"both-lengths", "length-conflict", "bad-chunk", "space-colon", "obs-fold", "bare-lf", "bare-cr", "nul", "bad-version", "host-conflict", "te", "body-on-get", "junk"}

// brief says of an Exchange what most vectors are about.
type brief []string

func (s *brief) Emit(_ *proto.Conn, x *proto.Exchange) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", x.Method, x.Target)
	if len(x.Host) > 0 {
		fmt.Fprintf(&b, " @%s", x.Host)
	}
	if x.Protocol != event.HTTP11 {
		fmt.Fprintf(&b, " %s", x.Protocol)
	}
	fmt.Fprintf(&b, " %d", x.Status)
	for _, m := range []*proto.Message{&x.Req, &x.Res} {
		fmt.Fprintf(&b, " %d", m.Bytes)
		if m.Lost > 0 {
			fmt.Fprintf(&b, "-%d", m.Lost)
		}
		if len(m.Body) > 0 {
			fmt.Fprintf(&b, "%q", m.Body)
		}
		if m.Cut {
			b.WriteString("cut")
		}
		if m.Open {
			b.WriteString("open")
		}
	}
	if x.Upgrade != nil {
		fmt.Fprintf(&b, " upgrade=%s", x.Upgrade)
	}
	if x.State != event.Done {
		fmt.Fprintf(&b, " %s", x.State)
	}
	for i, n := range signNames {
		if x.Signs&(1<<i) != 0 {
			b.WriteString(" " + n)
		}
	}
	*s = append(*s, b.String())
}

const (
	get   = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
	get2  = "GET /b HTTP/1.1\r\nHost: h\r\n\r\n"
	get3  = "GET /c HTTP/1.1\r\nHost: h\r\n\r\n"
	empty = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	ok    = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

func lost(d proto.Dir, n uint64) part { return part{dir: d, gap: n} }
func after(seconds int, p part) part  { p.at = event.Time(seconds) * 1e9; return p }
func ends(d proto.Dir) part           { return part{dir: d, end: true} }
func joined() part                    { return part{dir: 2} }
func post(fields, body string) part {
	return req("POST /p HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body)
}
func answer(fields, body string) part { return res("HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body) }
func parts(p ...part) []part          { return p }
func want(calls ...string) []string   { return calls }
func long(n int) string               { return strings.Repeat("x", n) }

var vectors = []struct {
	name  string
	parts []part
	want  []string
}{
	// The PROXY protocol, sections 2.1 and 2.2
	{"a PROXY line before the first request is passed over", parts(req("PROXY TCP4 192.0.2.1 192.0.2.2 5632 80\r\n"+get), res(ok)), want(`GET /a @h 200 0 2"ok"`)},
	{"so is the binary header", parts(req("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x16\x00\x00\x50"+get), res(ok)), want(`GET /a @h 200 0 2"ok"`)},

	// RFC 9112 section 2: messages
	{"2.2 empty lines before a request are ignored", parts(req("\r\n\r\n"+get), res(ok)), want(`GET /a @h 200 0 2"ok"`)},
	{"2.2 a line may end with LF alone", parts(req("GET /a HTTP/1.1\nHost: h\n\n"), res("HTTP/1.1 204 No\n\n")), want("GET /a @h 204 0 0 bare-lf")},
	{"2.2 a CR inside a line is no line end", parts(req("GET /a HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n"), res(empty)), want("GET /a @h 200 0 0 bare-cr")},
	{"2.2 white space before the first field is no fold of it", parts(req("GET /a HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n"), res(empty)), want("GET /a @h 200 0 0 obs-fold")},
	{"2.3 another minor version is read and told", parts(req("GET /a HTTP/1.2\r\nHost: h\r\n\r\n"), res(empty)), want("GET /a @h 200 0 0 bad-version")},
	{"2.3 the version is case-sensitive", parts(req("GET /a http/1.1\r\nHost: h\r\n\r\n"), res("http/1.1 204 x\r\n\r\n")), want("GET /a @h 204 0 0 bad-version")},

	// section 3: request lines
	{"3.1 the method is case-sensitive and any token", parts(req("get /a HTTP/1.1\r\n\r\nM-SEARCH * HTTP/1.1\r\n\r\nQUERY /q HTTP/1.1\r\nContent-Length: 1\r\n\r\n?"), res(empty+empty+empty)), want("get /a 200 0 0", "M-SEARCH * 200 0 0", `QUERY /q 200 1"?" 0`)},
	{"3.2 a target with blanks is kept whole", parts(req("GET /a b HTTP/1.1\r\n\r\n"), res(empty)), want("GET /a b 200 0 0")},
	{"3.2 a target with bytes outside ASCII is kept as sent", parts(req("GET /\xff\xc3\xa4 HTTP/1.1\r\n\r\n"), res(empty)), want("GET /\xff\xc3\xa4 200 0 0")},
	{"3.2 differing Host fields are told", parts(req("GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n"), res(empty)), want("GET /a @h 200 0 0 host-conflict")},
	{"3.2.2 the absolute form names the host before the field does", parts(req("GET http://user@h:8080/a HTTP/1.1\r\nHost: i\r\n\r\n"), res(empty)), want("GET http://user@h:8080/a @h:8080 200 0 0 host-conflict")},
	{"3.2.3 the authority form is CONNECT's", parts(req("CONNECT h:443 HTTP/1.1\r\n\r\n"), res("HTTP/1.1 407 no\r\nContent-Length: 0\r\n\r\n"), req(get), res(empty)), want("CONNECT h:443 @h:443 407 0 0", "GET /a @h 200 0 0")},
	{"3.2.4 the asterisk form", parts(req("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), res(empty)), want("OPTIONS * @h 200 0 0")},
	{"3.3 a simple request of HTTP/0.9 has no status", parts(req("GET /a\r\n"), res("<html>"), ends(proto.Response)), want(`GET /a http/0.9 0 0 6"<html>"`)},
	{"3.3 a simple request may be answered by a newer server", parts(req("GET /a\r\n"), res("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")), want("GET /a http/0.9 400 0 0")},

	// section 4: status lines
	{"4 a status line needs no reason", parts(req(get), res("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")), want("GET /a @h 200 0 0")},
	{"4 a status line of HTTP/1.0", parts(req(get), res("HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")), want("GET /a @h 404 0 0")},
	{"4 what is no status line is no response", parts(req(get), res("SSH-2.0-OpenSSH_9.2\r\nGo away\r\n")), want("GET /a @h 0 0 0open junk")},
	{"4 a Shoutcast server's ICY stands for a version", parts(req(get), res("ICY 200 OK\r\nicy-name: x\r\n\r\nmusic"), ends(proto.Response)), want(`GET /a @h 200 0 5"music" bad-version`)},
	{"4 a status beyond three digits is no response", parts(req(get), res("HTTP/1.1 2000 OK\r\n\r\n")), want("GET /a @h 0 0 0open junk")},

	// section 5: fields
	{"5.1 white space before the colon is told and the field is read", parts(post("Content-Length : 3\r\n", "abc"), res(empty)), want(`POST /p @h 200 3"abc" 0 space-colon`)},
	{"5.1 a line without a colon is told", parts(req("GET /a HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n"), res(empty)), want("GET /a @h 200 0 0 junk")},
	{"5.2 a folded field is one value", parts(post("Transfer-Encoding:\r\n chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"), res(empty)), want(`POST /p @h 200 3"abc" 0 obs-fold`)},
	{"5.5 NUL in a field is told", parts(req("GET /a HTTP/1.1\r\nHost: h\r\nX: a\x00b\r\n\r\n"), res(empty)), want("GET /a @h 200 0 0 nul")},

	// section 6: bodies
	{"6.1 Transfer-Encoding comes before Content-Length", parts(post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"), res(empty)), want(`POST /p @h 200 3"abc" 0 both-lengths`)},
	{"6.1 a request whose last coding is not chunked has no length: what follows is looked through", parts(post("Transfer-Encoding: chunked, gzip\r\n", "3\r\nabc\r\n"+get), res(empty+empty)), want("POST /p @h 200 0open 0 te", "GET /a @h 200 0 0")},
	{"6.1 an obfuscated coding is not chunked", parts(post("Transfer-Encoding: xchunked\r\n", get), res(empty+empty)), want("POST /p @h 200 0open 0 te", "GET /a @h 200 0 0")},
	{"6.1 identity says nothing", parts(post("Transfer-Encoding: identity\r\nContent-Length: 3\r\n", "abc"), res(empty)), want(`POST /p @h 200 3"abc" 0 te`)},
	{"6.1 a response whose last coding is not chunked lasts until the close", parts(req(get), answer("Transfer-Encoding: gzip\r\n", "zzz"), ends(proto.Response)), want(`GET /a @h 200 0 3"zzz"`)},
	{"6.1 HTTP/1.0 has no codings", parts(req("POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"), res(empty)), want(`POST /p http/1.0 200 1"a" 0 te`)},
	{"6.3 rule 1: responses to HEAD, 1xx, 204 and 304 have no body", parts(
		req("HEAD /a HTTP/1.1\r\n\r\n"), answer("Content-Length: 5\r\n", ""),
		req(get), res("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
		req(get2), res("HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\nHTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n")),
		want("HEAD /a 200 0 0", "GET /a @h 304 0 0", "GET /b @h 204 0 0")},
	{"6.3 rule 2: after 2xx to CONNECT HTTP in the tunnel gives calls of its own", parts(req("CONNECT h:80 HTTP/1.1\r\n\r\n"), res("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), req(get), res(ok)), want("CONNECT h:80 @h:80 200 0 0 upgrade=tunnel", `GET /a @h 200 0 2"ok"`)},
	{"6.3 rule 2: what is no HTTP in a tunnel is let pass", parts(req("CONNECT h:443 HTTP/1.1\r\n\r\n"), res("HTTP/1.1 200 OK\r\n\r\n"), req("\x16\x03\x01\x00\x05"), req(get)), want("CONNECT h:443 @h:443 200 0 0 upgrade=tunnel")},
	{"6.3 rule 5: differing lengths are a fault: what follows a request is looked through", parts(post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"+get), res(empty+empty)), want("POST /p @h 200 0open 0 length-conflict", "GET /a @h 200 0 0")},
	{"6.3 rule 5: the same length twice is one", parts(post("Content-Length: 3, 3\r\nContent-Length: 3\r\n", "abc"), res(empty)), want(`POST /p @h 200 3"abc" 0`)},
	{"6.3 rule 5: a length that is no number", parts(post("Content-Length: +3\r\n", "abc"+get), res(empty+empty)), want("POST /p @h 200 0open 0 length-conflict", "GET /a @h 200 0 0")},
	{"6.3 rule 6: a body shorter than its length is open", parts(req(get), answer("Content-Length: 5\r\n", "abc"), ends(proto.Response)), want(`GET /a @h 200 0 3"abc"open`)},
	{"6.3 rule 7: a request without length has no body", parts(post("", ""), res(empty)), want("POST /p @h 200 0 0")},
	{"6.3 rule 8: a response without length lasts until the close", parts(req(get), answer("", "abc"), res("def"), ends(proto.Response)), want(`GET /a @h 200 0 6"abcdef"`)},
	{"a body where it has no meaning is told", parts(req("GET /a HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"), res(empty)), want(`GET /a 200 1"x" 0 body-on-get`)},

	// section 7: chunks
	{"7.1 chunk extensions, upper-case sizes and trailers", parts(req(get), answer("Transfer-Encoding: chunked\r\n", "A;name=\"v\"\r\n0123456789\r\n00\r\nX-Sum: 1\r\n\r\n")), want(`GET /a @h 200 0 10"0123456789"`)},
	{"7.1 a size that is no number: the body lasts until the next message", parts(req(get+get2), answer("Transfer-Encoding: chunked\r\n", "3x\r\nabc\r\n0\r\n"+ok)), want("GET /a @h 200 0 12open bad-chunk", `GET /b @h 200 0 2"ok"`)},
	{"7.1 a size that is too large", parts(req(get), answer("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nabc")), want("GET /a @h 200 0 19open bad-chunk")},
	{"7.1 chunk data that is longer than its size", parts(req(get), answer("Transfer-Encoding: chunked\r\n", "3\r\nabcd\r\n0\r\n\r\n")), want(`GET /a @h 200 0 11"abc" bad-chunk`)},
	{"7.1.1 a chunk line ended by LF alone", parts(req(get), answer("Transfer-Encoding: chunked\r\n", "3\nabc\n0\n\n")), want(`GET /a @h 200 0 3"abc" bare-lf`)},
	{"7.1.2 a trailer that names a length frames nothing", parts(req(get+get2), answer("Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\nContent-Length: 100\r\n\r\n"+ok)), want(`GET /a @h 200 0 1"a"`, `GET /b @h 200 0 2"ok"`)},

	// section 9: connections
	{"9.3.2 pipelined requests are answered in order", parts(req(get+get2+get3), res(ok+empty), res(ok)), want(`GET /a @h 200 0 2"ok"`, "GET /b @h 200 0 0", `GET /c @h 200 0 2"ok"`)},
	{"9.5 an early answer ends the call once the request is whole", parts(post("Content-Length: 6\r\n", "abc"), res("HTTP/1.1 413 no\r\nContent-Length: 0\r\n\r\n"), req("def")), want(`POST /p @h 413 6"abcdef" 0`)},
	{"9.6 a request that is not answered leaves at the close", parts(req(get)), want("GET /a @h 0 0 0open")},
	{"9.6 a request whose head is cut off leaves at the close", parts(req("GET /a HTTP/1.1\r\nHost: h\r\nX-")), want("GET /a @h 0 0open 0open")},

	// RFC 9110
	{"9110 7.8 an upgrade to what is not decoded ends the reading", parts(post("Connection: Upgrade\r\nUpgrade: tcp\r\n", ""), res("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw"), req(get)), want("POST /p @h 101 0 0 upgrade=tcp")},
	{"9110 7.8 a WebSocket stays open and its bytes are counted", parts(req("GET /ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"), res("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\r\n\x81\x01a"), req("\x81\x82abcdxy")),
		want("GET /ws websocket 101 0 0 upgrade=WebSocket open", "GET /ws websocket 101 8 3 upgrade=WebSocket")},
	{"9110 7.8 an upgrade that is not taken up is a call like any other", parts(req("GET /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"), res(ok), req(get2), res(ok)), want(`GET /a 200 0 2"ok"`, `GET /b @h 200 0 2"ok"`)},
	{"9110 7.8 requests may follow before the upgrade is answered", parts(req("GET /a HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"+get2), res(ok+ok)), want(`GET /a 200 0 2"ok"`, `GET /b @h 200 0 2"ok"`)},
	{"9110 10.1.1 100 Continue ends no call", parts(post("Content-Length: 3\r\nExpect: 100-continue\r\n", ""), res("HTTP/1.1 100 Continue\r\n\r\n"), req("abc"), res(ok)), want(`POST /p @h 200 3"abc" 2"ok"`)},
	{"9110 10.1.1 after a final answer instead of 100 the body may not come", parts(post("Content-Length: 30\r\nExpect: 100-continue\r\n", ""), res("HTTP/1.1 401 no\r\nContent-Length: 0\r\n\r\n"), req(get), res(ok)), want("POST /p @h 401 0 0", `GET /a @h 200 0 2"ok"`)},
	{"9110 10.1.1 or it may", parts(post("Content-Length: 3\r\nExpect: 100-continue\r\n", ""), res("HTTP/1.1 401 no\r\nContent-Length: 0\r\n\r\n"), req("abc"+get), res(ok)), want(`POST /p @h 401 3"abc" 0`, `GET /a @h 200 0 2"ok"`)},

	// Smuggling shapes as PortSwigger, nginx's and llhttp's tests have them
	{"CL.TE: the request hidden in the chunked body's rest is seen", parts(post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"), res(empty+empty)), want("POST /p @h 200 0 0 both-lengths", "GET /hidden @h 200 0 0")},
	{"TE.TE: the second, unknown coding is told", parts(post("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n", "5c\r\nGPOST / HTTP/1.1\r\n"), res(empty)), want("POST /p @h 200 0open 0 te")},
	{"a vertical tab hides no coding", parts(post("Transfer-Encoding: \vchunked\r\nContent-Length: 3\r\n", "abc"+get), res(empty+empty)), want("POST /p @h 200 0open 0 both-lengths te", "GET /a @h 200 0 0")},
	{"chunked twice is told", parts(post("Transfer-Encoding: chunked, chunked\r\n", "1\r\na\r\n0\r\n\r\n"), res(empty)), want(`POST /p @h 200 1"a" 0 te`)},
	{"bytes between requests are told and passed over", parts(req(get), res(ok), req("\x00\x01junk\r\n"+get2), res(ok)), want(`GET /a @h 200 0 2"ok"`, `GET /b @h 200 0 2"ok"`)},
	{"a body longer than its length does not shift the pairing", parts(req(get+get2), answer("Content-Length: 1\r\n", "xyz\n"+ok)), want(`GET /a @h 200 0 1"x"`, `GET /b @h 200 0 2"ok" junk`)},

	// Gaps and joins
	{"a gap in a body of known length is counted into it", parts(req(get), answer("Content-Length: 10\r\n", "ab"), lost(proto.Response, 5), res("cde"), req(get2), res(ok)), want(`GET /a @h 200 0 10-5"ab"`, `GET /b @h 200 0 2"ok"`)},
	{"a gap inside one chunk is counted into it", parts(req(get), answer("Transfer-Encoding: chunked\r\n", "a\r\nab"), lost(proto.Response, 8), res("\r\n0\r\n\r\n")), want(`GET /a @h 200 0 10-8"ab"`)},
	{"a gap to the end of a chunk ends it", parts(req(get), answer("Transfer-Encoding: chunked\r\n", "a\r\nab"), lost(proto.Response, 10), res("1\r\nx\r\n0\r\n\r\n")), want(`GET /a @h 200 0 11-8"ab"`)},
	{"a gap to the end of the last chunk ends the body", parts(req(get), answer("Transfer-Encoding: chunked\r\n", "a\r\nab"), lost(proto.Response, 15)), want(`GET /a @h 200 0 10-8"ab"`)},
	{"a gap over chunks leaves the length to the bytes; the last chunk ends it", parts(req(get), answer("Transfer-Encoding: chunked\r\n", "a\r\nab"), lost(proto.Response, 20), res("xyz\r\n0\r\n\r\n"), req(get2), res(ok)), want(`GET /a @h 200 0 32-20"ab"`, `GET /b @h 200 0 2"ok"`)},
	{"or the next request does", parts(req(get), answer("Transfer-Encoding: chunked\r\n", "a\r\nab"), lost(proto.Response, 20), req(get2), res(ok)), want(`GET /a @h 200 0 22-20"ab"open`, `GET /b @h 200 0 2"ok"`)},
	{"a gap in a request's head leaves the call", parts(req("GET /a HTTP/1.1\r\nHost: h\r\nCookie: x"), lost(proto.Request, 500), res(ok), req(get2), res(ok)), want(`GET /a @h 200 0-500cutopen 2"ok"`, `GET /b @h 200 0 2"ok"`)},
	{"a gap in a response's head leaves its status, and its length if that was seen", parts(req(get), res("HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX: "), lost(proto.Response, 50), req(get2), res(ok)), want("GET /a @h 200 0 7-7cutopen", `GET /b @h 200 0 2"ok"`)},
	{"a response that was lost whole is the one of the request before the newest", parts(req(get), lost(proto.Response, 40), req(get2), res(ok)), want("GET /a @h 0 0 0-40open", `GET /b @h 200 0 2"ok"`)},
	{"a response lost among pipelined ones leaves all under way without a status, until the connection was quiet", parts(req(get+get2+get3), res(ok), lost(proto.Response, 40), res(ok), req(get), res(ok), after(5, req(get2)), res(ok)),
		want(`GET /a @h 200 0 2"ok"`, "GET /b @h 0 0 0open", "GET /c @h 0 0 0open", "GET /a @h 0 0 0open", `GET /b @h 200 0 2"ok"`)},
	{"after a gap between messages a body without a line end may precede a request", parts(joined(), req(`{"a":"b"}`+get+`x=1POST /p HTTP/1.1`+"\r\nHost: h\r\n\r\n"), res(ok+ok)), want(`GET /a @h 200 0 2"ok" junk`, `POST /p @h 200 0 2"ok"`)},
	{"text that looks like a start line is none without a field after it", parts(joined(), res("see\nHTTP/1.1 200 OK\nfor more\n"), req(get), res(ok)), want(`GET /a @h 200 0 2"ok"`)},
	{"a response whose request was not seen makes no call", parts(joined(), res(answer("Content-Length: 2\r\n", "ok").data), req(get), res(ok)), want(`GET /a @h 200 0 2"ok"`)},
	{"one that may answer HEAD has no body where a message follows", parts(joined(), res("HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n"), req(get), res(ok)), want(`GET /a @h 200 0 2"ok"`)},

	// Calls that last
	{"a slow response is told when it opens, as it goes on and when it ends", parts(req(get), answer("Content-Length: 3\r\n", "a"), after(3, res("b")), after(14, res("c"))), want(`GET /a @h 200 0 1"a" open`, `GET /a @h 200 0 2"ab" progress`, `GET /a @h 200 0 3"abc"`)},
	{"an event stream is told at once", parts(req(get), answer("Content-Type: text/event-stream; charset=utf-8\r\n", "data: 1\n\n"), ends(proto.Response)), want("GET /a @h 200 0 0 open", `GET /a @h 200 0 9"data: 1\n\n"`)},
	{"a request that is not answered for long is told", parts(req(get), after(3, req("")), res(ok)), want("GET /a @h 0 0 0 open", `GET /a @h 200 0 2"ok"`)},
	{"a slow request is told", parts(post("Content-Length: 4\r\n", "ab"), after(3, req("cd")), res(ok)), want(`POST /p @h 0 2"ab" 0 open`, `POST /p @h 200 4"abcd" 2"ok"`)},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			mid := v.parts[0].dir == 2
			if mid {
				v.parts = v.parts[1:]
			}
			for _, size := range []int{0, 1, 2, 3, 7} {
				got := brief{}
				var sizes func() int
				if size > 0 {
					sizes = func() int { return size }
				}
				runTo(&got, New(Config{}), mid, sizes, v.parts...)
				require.Equal(t, brief(v.want), got, "in pieces of %d bytes", size)
			}
		})
	}
}

func TestTimesAreThoseOfFirstAndLastBytes(t *testing.T) {
	got := run(New(Config{}), false, nil, req("GE"), req("T / HTTP/1.1\r\n\r"), req("\n"), res("HTTP/1.1 100 C\r\n\r\n"), res("HT"), res("TP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"), res("k"))
	require.Len(t, got, 1)
	require.Contains(t, got[0], " 1 3 5 7 signs=0", "start, end of request, first byte of the final response, end")
}

func TestFieldsAreShownAsSentWithoutTheirWhiteSpace(t *testing.T) {
	got := run(New(Config{}), false, nil, req("GET / HTTP/1.1\r\nA:b\r\nlong-name:  \t v w \t\r\nempty:\r\nfold: a\r\n\t b\r\nA: c\r\n\r\n"), res("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: 1\r\nU:2\r\n\r\n"))
	require.Len(t, got, 1)
	require.Contains(t, got[0], `req("A":"b" "long-name":"v w" "empty":"" "fold":"a  \t b" "A":"c" 0/0`, "the line end of a fold becomes blanks")
	require.Contains(t, got[0], `res("Transfer-Encoding":"chunked" +"T":"1" +"U":"2" 0/0`)
}

func TestFieldsBeyondTheBoundsAreCutAndTheMessageIsFramedRight(t *testing.T) {
	for name, fields := range map[string]string{
		"many":        strings.Repeat("X: y\r\n", 1000),
		"large":       strings.Repeat("X: "+long(1000)+"\r\n", 100),
		"one line":    "X: " + long(100_000) + "\r\n",
		"folded":      "X: a\r\n" + strings.Repeat(" "+long(900)+"\r\n", 100),
		"all of them": strings.Repeat("Y: z\r\n", 127) + "X: " + long(20_000) + "\r\n" + strings.Repeat("X: "+long(900)+"\r\n", 30),
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for _, size := range []func() int{nil, func() int { return 1 + r.IntN(3000) }} {
				got := brief{}
				c := runTo(&got, New(Config{}), false, size, post(fields+"Content-Length: 3\r\n", "abc"+get), res(ok+ok))
				require.Len(t, got, 2)
				require.Contains(t, got[0], `POST /p @h 200 3"abc"cut 2"ok"`)
				require.Equal(t, `GET /a @h 200 0 2"ok"`, got[1])
				require.Zero(t, c.Held)
			}
		})
	}
}

func TestAHeadOfMoreThanAMebibyteEndsTheReading(t *testing.T) {
	got := brief{}
	runTo(&got, New(Config{}), false, nil, post(strings.Repeat("X: "+long(1000)+"\r\n", 1100), ""), req(get))
	require.Equal(t, brief{"POST /p @h 0 0cutopen 0open"}, got)
}

func TestALongTargetIsCutAndALongerOneIsNoHTTP(t *testing.T) {
	got := brief{}
	runTo(&got, New(Config{}), false, nil, req("GET /"+long(60_000)+" HTTP/1.1\r\nHost: h\r\n\r\n"), res(ok), req("GET /"+long(70_000)+" HTTP/1.1\r\nHost: h\r\n\r\n"+get2), res(ok))
	require.Len(t, got, 2)
	require.Contains(t, got[0], `@h 200 0cut 2"ok"`)
	require.Less(t, len(got[0]), keepHead)
	require.Equal(t, `GET /b @h 200 0 2"ok"`, got[1])
}

func TestOfABodyItsBeginningIsKept(t *testing.T) {
	got := brief{}
	runTo(&got, New(Config{BodyPrefix: 4}), false, nil, post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"), answer("Content-Length: 100000\r\n", "0123"+long(99996)))
	require.Equal(t, brief{`POST /p @h 200 6"abcd" 100000"0123"`}, got)
}

func TestTooManyRequestsUnderWayLeaveWithoutAStatus(t *testing.T) {
	got := brief{}
	runTo(&got, New(Config{Outstanding: 4}), false, nil, req(strings.Repeat(get, 6)), res(strings.Repeat(ok, 6)), after(5, req(get2)), res(ok))
	require.Len(t, got, 7)
	require.Equal(t, "GET /a @h 0 0 0open", got[0])
	require.Equal(t, `GET /b @h 200 0 2"ok"`, got[6])
}

func TestAServerThatSpeaksOtherwiseIsLetPass(t *testing.T) {
	s := &seen{}
	p := New(Config{}).New(&proto.Conn{}, s, false)
	_, _, err := p.Feed(proto.Request, []byte(get), 1)
	require.NoError(t, err)
	_, _, err = p.Feed(proto.Response, []byte(strings.Repeat("220 spam\r\n", 10_000)), 2)
	require.ErrorIs(t, err, proto.ErrPass)
}

func TestSniffing(t *testing.T) {
	pr := New(Config{})
	for _, v := range []struct {
		d    proto.Dir
		b    string
		mid  bool
		want proto.Verdict
	}{
		{proto.Request, "", false, proto.NotYet},
		{proto.Request, "\r\n", false, proto.NotYet},
		{proto.Request, "GET", false, proto.NotYet},
		{proto.Request, "\r\nGET / HTTP/1.1\r\n", false, proto.Yes},
		{proto.Request, "PROXY TCP4 192.0.2.1 192.0.2.2 5632 80\r\nGET / HTTP/1.1\r\n", false, proto.Yes},
		{proto.Request, "PROXY TCP4 192.0.2.1 192.0.2.2 5632 80\r\n\x16\x03\x01", false, proto.Never},
		{proto.Request, "PROXY anything", false, proto.NotYet},
		{proto.Request, "propfind /x HTTP/1.1\n", false, proto.Yes},
		{proto.Request, "GET /x\r\n", false, proto.Yes},
		{proto.Request, "get /x\r\n", false, proto.Never},          // memcached
		{proto.Request, "GET x\r\n", false, proto.Never},           // Redis
		{proto.Request, "USER anonymous\r\n", false, proto.Never},  // FTP
		{proto.Request, "EHLO a.example\r\n", false, proto.Never},  // SMTP
		{proto.Request, "SSH-2.0-OpenSSH\r\n", false, proto.Never}, // SSH
		{proto.Request, "PRI * HTTP/2.0\r\n", false, proto.Never},  // HTTP/2
		{proto.Request, "OPTIONS rtsp://h/ RTSP/1.0\r\n", false, proto.Never},
		{proto.Request, "INVITE sip:a@b SIP/2.0\r\n", false, proto.Never},
		{proto.Request, "\x16\x03\x01", false, proto.Never},
		{proto.Request, "GET /" + long(70_000), false, proto.Never},
		{proto.Request, long(33), false, proto.Never},
		{proto.Response, "HTT", false, proto.NotYet},
		{proto.Response, "HTTP/1.1 200 OK", false, proto.Yes},
		{proto.Response, "220 mail\r\n", false, proto.Never},
		{proto.Request, "body\n" + get, true, proto.Yes},
		{proto.Request, "body " + get[:17], true, proto.NotYet},
		{proto.Response, "body" + ok, true, proto.Yes},
		{proto.Response, get, true, proto.NotYet},
	} {
		require.Equal(t, v.want, pr.Sniff(v.d, []byte(v.b), v.mid), "%q", v.b)
	}
}

func TestPooledRecordsShrink(t *testing.T) {
	pr := New(Config{})
	got := brief{}
	runTo(&got, pr, false, nil, req(strings.Repeat("GET / HTTP/1.1\r\nX: "+long(14_000)+"\r\n\r\n", 600)), res(strings.Repeat(ok, 600)))
	require.Len(t, got, 600)
	sum := 0
	for _, c := range pr.calls {
		sum += c.size()
	}
	require.LessOrEqual(t, sum, 512*(14<<10))
}
