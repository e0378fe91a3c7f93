package alert

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

func report(kind string) *Report {
	return &Report{
		Kind: kind, Key: "prod/Deployment/worker", Opened: 1_790_000_000_123_456_789, First: 1_790_000_000_000_000_000, Last: 1_790_000_000_123_456_789, Now: 1_790_000_000_123_456_789,
		Calls: 17, Surprise: 21, Service: "shop", Method: "GET", Template: "/orders/{id}", Caller: "240.1.2.3", Credential: "c0ffee", Peers: []string{"240.1.2.4"}, CallIDs: []string{"a1", "a2"},
		Parameter: "distinct objects in an hour", Expected: "at most 4", Baseline: 812, Observed: "40 in 44 calls",
	}
}

func TestEveryKindFollowsThePublishedSchemaOfOCSF(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("testdata/ocsf-1.8.0-detection_finding.json")
	require.NoError(t, err)
	validate := func(r *Report) {
		t.Helper()
		b, err := New(r).AppendJSON(nil)
		require.NoError(t, err)
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(v), "%s", b)
	}
	list := Kinds()
	slices.Sort(list)
	require.Len(t, list, 20)
	for _, k := range list {
		validate(report(k))
		r := report(k)
		r.Update, r.Also, r.Caller, r.Severity = 2, []string{"error_burst"}, "prod/Deployment/worker", Informational
		validate(r)
	}
	validate(&Report{Kind: "something_else", Key: "x"})
	broken := New(report("bfla"))
	broken.SeverityID = 7
	b, _ := json.Marshal(broken)
	v, _ := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
	require.Error(t, schema.Validate(v), "the schema is not asleep")
}

func TestFieldsThatScriptsRelyOnAreWhereCLIPromisesThem(t *testing.T) {
	b, err := New(report("enumeration")).AppendJSON(nil)
	require.NoError(t, err)
	var d map[string]any
	require.NoError(t, json.Unmarshal(b, &d))
	require.EqualValues(t, 1_790_000_000_123, d["time"])
	require.EqualValues(t, High, d["severity_id"])
	info := d["finding_info"].(map[string]any)
	require.Equal(t, []any{"enumeration"}, info["types"])
	require.EqualValues(t, 1_790_000_000_000, info["first_seen_time"])
	require.EqualValues(t, 1_790_000_000_123, info["last_seen_time"])
	require.Equal(t, map[string]any{"service": "shop", "method": "GET", "template": "/orders/{id}", "caller": "240.1.2.3", "credential": "c0ffee", "peers": []any{"240.1.2.4"}, "calls": []any{"a1", "a2"}},
		d["unmapped"].(map[string]any)["gnomon"])
	for _, part := range []string{"at most 4", "40 in 44 calls", "shop", "240.1.2.3"} {
		require.Contains(t, d["message"], part)
	}
}

func TestTheUIDIsThatOfTheIncidentAndOfNothingElse(t *testing.T) {
	a, b, c := report("bfla"), report("bfla"), report("bfla")
	b.Kind, b.Update, b.Now, b.Last = "token_theft", 1, b.Now+5e9, b.Last+5e9
	c.Opened++
	require.Equal(t, New(a).FindingInfo.UID, New(b).FindingInfo.UID, "an update keeps it")
	require.NotEqual(t, New(a).FindingInfo.UID, New(c).FindingInfo.UID, "the next incident has another")
	require.Equal(t, activityUpdate, New(b).ActivityID)
}

func TestListsAreBoundedAndNeverNull(t *testing.T) {
	r := report("credential_stuffing")
	r.Peers, r.CallIDs = make([]string, 100), nil
	f := New(r)
	require.Len(t, f.Unmapped.Gnomon.Peers, MaxPeers)
	b, err := f.AppendJSON(nil)
	require.NoError(t, err)
	require.NotContains(t, string(b), "null")
}

func TestConfidenceRisesWithSurpriseAndStaysBelowCertainty(t *testing.T) {
	last := 0
	for _, nats := range []float64{0, 5, 12, 25, 39, 40, 1e9} {
		c := confidence(nats)
		require.GreaterOrEqual(t, c, last)
		last = c
	}
	require.Equal(t, 99, last)
}
