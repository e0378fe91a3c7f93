package calls

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

const line = `{"id":"6e789e6aa1b965f4","time":"2026-10-01T00:00:02.717162499Z","node":"node-2","side":"server","service":"accounts","protocol":"http/1.1","client":{"address":"10.42.7.144","port":41066,"workload":"web/Deployment/api","process":"node"},"server":{"address":"10.42.4.96","port":8080,"workload":"web/Deployment/accounts","process":"go"},"encryption":"tls","tls":{"version":"1.3","sni":"api.tickets.example","alpn":"h2"},"method":"POST","host":"accounts","template":"/login","operations":[],"params":[{"in":"body","name":"email","kind":"string","hash":"33bad76db2"}],"status":200,"request_bytes":194,"response_bytes":385,"first_byte_ns":38850595,"duration_ns":45287973,"auth":{"kind":"bearer_jwt","credential":"9fb384a6cd2d2cd8","subject":"b8ff64c1ff477cb5","issuer":"https://id.tickets.example","expired":false},"data":{"request":[{"class":"password","at":"$.password","count":1}],"response":[{"class":"jwt","at":"$.token","count":1}]},"signs":[]}`

func TestEveryFieldOfACallLineIsReadAsEncodingJSONReadsIt(t *testing.T) {
	full := `{"id":"a","rev":3,"state":"progress","time":"2026-11-24T10:00:00.123456789Z","node":"n","side":"client","service":"s","protocol":"grpc",` +
		`"client":{"address":"::1","port":1,"workload":"w","process":"p"},"server":{"address":"10.0.0.1","port":2},"encryption":"plaintext",` +
		`"tls":{"version":"1.2","sni":"x","alpn":"h2","cipher":"c","client_cert":true},"method":"GET","host":"h","template":"/a/{b}",` +
		`"path":[{"kind":"word","text":"a"},{"kind":"integer"}],"operations":["q"],"params":[{"in":"query","name":"\u00e9\ud83d\ude00\"","kind":"uuid","hash":"h"}],` +
		`"status":404,"request_bytes":1,"response_bytes":2,"first_byte_ns":3,"duration_ns":4,"request_type":"application/json","response_type":"text/html",` +
		`"request_headers":["a","b"],"response_headers":["c"],"request_body":{"fields":[{"at":"$","types":["object"],"n":1}],"bodies":1},` +
		`"auth":{"kind":"basic","credential":"c","subject":"s","issuer":"i","audience":"a","scopes":["x","y"],"algorithm":"RS256","expires":"2026-11-24T10:00:00Z","expired":true},` +
		`"data":{"request":[],"response":[{"class":"iban","at":"$.x","count":2}]},"signs":["sqli"],"probe":"health","hop":true,"count":7,"until":"2026-11-24T10:00:01Z",` +
		`"lost":{"bytes":5,"reason":"snaplen"},"new_field":{"a":[1,2,{"b":"\\\""}]}}`
	for _, in := range []string{line, full} {
		var want, got event.Call
		require.NoError(t, json.Unmarshal([]byte(in), &want))
		var d Decoder
		require.NoError(t, d.Decode(&got, []byte(in)))
		w, err := json.Marshal(want)
		require.NoError(t, err)
		g, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, string(w), string(g))
		require.Equal(t, want.Time, got.Time)
		require.Equal(t, len(want.Path), len(got.Path))
	}
}

// fill sets everything that v holds to something other than zero.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() && depth < 6 {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), depth+1)
		fill(v.Index(1), depth+1)
	case reflect.String:
		v.SetString("té\"xt")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(3)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	}
}

func TestEveryFieldThatACallCanHaveIsReadBack(t *testing.T) {
	var want event.Call
	fill(reflect.ValueOf(&want).Elem(), 0)
	want.Sums = nil // does not travel as JSON
	text, err := json.Marshal(&want)
	require.NoError(t, err)
	var d Decoder
	var got event.Call
	require.NoError(t, d.Decode(&got, text))
	again, err := json.Marshal(&got)
	require.NoError(t, err)
	require.Equal(t, string(text), string(again))
}

func TestWordsOfANewerVersionAreReadAsUnknown(t *testing.T) {
	var d Decoder
	var c event.Call
	require.NoError(t, d.Decode(&c, []byte(`{"time":"2026-11-24T10:00:00Z","method":"GET","protocol":"http/3","auth":{"kind":"passkey"}}`)))
	require.Equal(t, event.ProtocolUnknown, c.Protocol)
	require.Equal(t, event.AuthNone, c.Auth.Kind)
}

func TestABadLineIsNamedAndTheRestIsRead(t *testing.T) {
	in := line + "\n{\"method\":\n\n{\"a\":1}\n" + line + "\n" + strings.Repeat("x", 2<<20) + "\n" + line[:100]
	var got []string
	st, err := Read(context.Background(), strings.NewReader(in), func(c *event.Call) { got = append(got, c.ID) })
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.Equal(t, 3, st.Bad)
	require.Equal(t, 1, st.Blank)
	require.Equal(t, 1, st.TooLong)
	require.ErrorContains(t, st.First, fmt.Sprintf("line 2, byte %d", len(line)+1))
}

func TestDecodingAKnownLineAllocatesItsIdOnly(t *testing.T) {
	var d Decoder
	var c event.Call
	b := []byte(line)
	require.NoError(t, d.Decode(&c, b))
	require.LessOrEqual(t, testing.AllocsPerRun(1000, func() { _ = d.Decode(&c, b) }), 1.0)
}

func BenchmarkDecode(b *testing.B) {
	in := []byte(line)
	if name := os.Getenv("GNOMON_CALLS"); name != "" { // calls.jsonl of shared/bench/detect, unpacked
		all, err := os.ReadFile(name)
		require.NoError(b, err)
		n := 0
		b.SetBytes(int64(len(all)))
		for b.Loop() {
			st, err := Read(context.Background(), bytes.NewReader(all), func(*event.Call) { n++ })
			require.NoError(b, err)
			require.Zero(b, st.Bad)
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
		return
	}
	var d Decoder
	var c event.Call
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, d.Decode(&c, in))
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(line))
	f.Add([]byte(`{"time":"2026-11-24T10:00:00Z","method":"G\u00e9\ud83d","params":[{"in":1}],"path":[{"kind":"integer"}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		var d Decoder
		var c event.Call
		err := d.Decode(&c, in)
		var again event.Call
		err2 := d.Decode(&again, in)
		require.Equal(t, err == nil, err2 == nil)
		if err != nil {
			return
		}
		out, err := json.Marshal(&c)
		require.NoError(t, err)
		var back event.Call
		require.NoError(t, d.Decode(&back, out), "what was read and written can be read: %s", out)
		require.Equal(t, c.Time, back.Time)
		require.Equal(t, c.Status, back.Status)
	})
}
