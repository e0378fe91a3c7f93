package event

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func body(fields ...Field) *Body { return &Body{Bodies: 1, Fields: fields} }

func TestBodiesMergeToTheSameInAnyOrder(t *testing.T) {
	parts := []*Body{
		body(Field{At: "$", Types: JSONObject, N: 1, Objects: 1}, Field{At: "$.id", Types: JSONInteger, N: 1}),
		body(Field{At: "$", Types: JSONObject, N: 1, Objects: 1}, Field{At: "$.id", Types: JSONString, Kinds: 1 << KindUUID, N: 1}, Field{At: "$.name", Types: JSONString, N: 1}),
		body(Field{At: "$", Types: JSONArray, N: 1}, Field{At: "$[]", Types: JSONNull, N: 3}),
	}
	var want Body
	for _, p := range parts {
		want.Merge(p)
	}
	require.EqualValues(t, 3, want.Bodies)
	require.Equal(t, JSONInteger|JSONString, want.Find("$.id").Types)
	require.EqualValues(t, 2, want.Find("$").Objects)
	require.EqualValues(t, 1, want.Find("$.name").N, "not in every object, so optional")
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var got Body
		for _, i := range r.Perm(len(parts)) {
			got.Merge(parts[i])
		}
		require.Equal(t, want, got)
	}
}

func TestMergingKnownPlacesDoesNotAllocate(t *testing.T) {
	var b Body
	o := body(Field{At: "$", Types: JSONObject, N: 1, Objects: 1}, Field{At: "$.id", Types: JSONInteger, N: 1})
	b.Merge(o)
	require.Zero(t, testing.AllocsPerRun(100, func() { b.Merge(o) }))
}

func TestABodyStopsGrowingAtItsBound(t *testing.T) {
	var b Body
	for i := range 2 * MaxBodyFields {
		b.Merge(body(Field{At: "$." + string(rune(0x4e00+i)), N: 1}))
	}
	require.Len(t, b.Fields, MaxBodyFields)
	require.NotZero(t, b.CutOff)
}

func TestJSONTypesAreWordsOfJSONSchema(t *testing.T) {
	out, err := json.Marshal(body(Field{At: "$", Types: JSONObject | JSONNull, N: 1}))
	require.NoError(t, err)
	require.JSONEq(t, `{"bodies":1,"fields":[{"at":"$","types":["null","object"],"n":1}]}`, string(out))
	var back Body
	require.NoError(t, json.Unmarshal(out, &back))
	require.Equal(t, JSONObject|JSONNull, back.Fields[0].Types)
	require.Error(t, json.Unmarshal([]byte(`{"fields":[{"types":["float"]}]}`), &back))
}
