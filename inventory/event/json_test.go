package event

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

func fullCall() Call {
	expired := false
	return Call{ID: "k3v9", Rev: 2, State: Progress, Time: 1763978400123456789, Node: "node-1", Side: SideServer, Service: "shop/orders:8080",
		Protocol: HTTP11, Client: Peer{"10.0.0.7", 51324, "shop/Deployment/web", "python3"}, Server: Peer{Address: "10.0.0.9", Port: 8080},
		Encryption: TLS, TLS: &TLSFacts{"1.3", "orders.shop", "h2", "x", true}, Method: "GET", Host: "orders.shop", Template: "/orders/{orderId}",
		Path:       []Segment{{Kind: KindWord, Text: "orders", Token: 1<<64 - 1, Shape: Shape{Word: 3, Len: 6}}, {Kind: KindMixed, Parts: []Part{{Kind: KindWord, Text: "a"}, {Sep: ".", Kind: KindFile}}}},
		Operations: []string{"a", "b"}, Params: []Param{{InPath, "orderId", KindInteger, "9f2c", ""}, {In: InQuery, Name: "q", Word: "asc"}}, Status: 200,
		RequestBytes: 1, ResponseBytes: 512, FirstByteNS: 1200000, DurationNS: 1400000, RequestType: "a/b", ResponseType: "c/d",
		RequestHeaders: []string{"a"}, ResponseHeaders: []string{"b"},
		RequestBody: &Body{Fields: []Field{{At: "$"}}, Bodies: 1}, ResponseBody: &Body{Fields: []Field{{"$", JSONObject | JSONNull, 3, 2, 1}, {At: "$.a"}}, Bodies: 2, CutOff: 1},
		Auth: Auth{Kind: AuthBearerJWT, Credential: "c5", Subject: "s", Issuer: "https://id.example", Audience: "x", Scopes: []string{"r", "w"}, Algorithm: "RS256", Expires: 7, Expired: &expired},
		Data: Data{Request: []DataClass{{"iban", "", 1}}, Response: []DataClass{{"email", "$.items[].contact", 3}}}, Signs: []string{"sqli"},
		Probe: HealthProbe, Hop: true, Count: 3, Until: 1763978400123456790, Lost: &Lost{120, "ring_full"}}
}

func TestCallJSONIsWhatItsTagsSay(t *testing.T) {
	want := fullCall()
	type plain Call // without MarshalJSON
	reference, err := json.Marshal(plain(want))
	require.NoError(t, err)
	require.JSONEq(t, string(reference), string(want.AppendJSON(nil)))

	var got Call
	require.NoError(t, json.Unmarshal(want.AppendJSON(nil), &got))
	require.Equal(t, want, got)

	v := reflect.ValueOf(want)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Name != "Sums" {
			require.False(t, v.Field(i).IsZero(), "the test's call lacks %s", f.Name)
		}
	}
}

func TestAnEmptyCallHasListsAndNoNull(t *testing.T) {
	b, err := json.Marshal(Call{})
	require.NoError(t, err)
	require.NotContains(t, string(b), "null")
	require.Contains(t, string(b), `"operations":[],"params":[]`)
	require.Contains(t, string(b), `"auth":{"kind":"none"}`)
	require.Contains(t, string(b), `"data":{"request":[],"response":[]},"signs":[]`)
	require.NotContains(t, string(b), "status")
}

func TestACopyOfACallSharesNoMemory(t *testing.T) {
	src := fullCall()
	src.Sums = &Sketch{Distinct: []Distinct{{Name: "q", Values: Set{1, 2, 3, 4, 5, 6, 7, 8}}}}
	src.Sums.Latency.Add(5, 1)
	before, _ := json.Marshal(src)
	kept := src.Clone()
	require.Equal(t, src, kept)
	*src.TLS, src.Path[1].Parts[0].Text, src.Params[0].Name, src.Data.Response[0].Class = TLSFacts{}, "x", "x", "x"
	*src.Auth.Expired, src.Lost.Bytes, src.Sums.Latency.Counts[0], src.Sums.Distinct[0].Values[0] = true, 9, 9, 9
	after, _ := json.Marshal(kept)
	require.Equal(t, string(before), string(after))
	require.EqualValues(t, 1, kept.Sums.Latency.Counts[0])
}

func FuzzStringsAreTheJSONThatTheStandardLibraryReads(f *testing.F) {
	f.Add("a\"\\\n\x00\x1b[31m\u2028\xff\u0085é")
	f.Fuzz(func(t *testing.T, s string) {
		var got, want string
		require.NoError(t, json.Unmarshal(appendString(nil, s), &got))
		ref, _ := json.Marshal(s)
		require.NoError(t, json.Unmarshal(ref, &want))
		require.Equal(t, want, got)
	})
}

func BenchmarkCallAppendJSON(b *testing.B) {
	c := fullCall()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = c.AppendJSON(buf[:0])
	}
	b.SetBytes(int64(len(buf)))
}
