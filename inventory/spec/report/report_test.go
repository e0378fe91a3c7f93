package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

var rows = []spec.Drift{
	{ID: "1", Kind: spec.Shadow, Severity: "high", Service: "shop:80", Method: "GET", Template: "/debug", Document: "d", Calls: 3, First: 1e18, Last: 2e18,
		Callers: []observe.Caller{{Name: "web", Calls: 3}}, Message: "served <&> not declared \x1b[31m"},
	{ID: "2", Kind: spec.Orphan, Severity: "low", Service: "cart:80", Method: "GET", Template: "/old", Callers: []observe.Caller{}, Message: "never called"},
}

func TestSARIFHasARuleForEachKindAndALocationForEachRow(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, SARIF(&b, "1.0", rows, func(id string) string { return map[string]string{"d": "apis/shop api.yaml"}[id] }))
	var got struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID, Name string } }
			}
			Results []struct {
				RuleID    string `json:"ruleId"`
				RuleIndex int
				Level     string
				Locations []struct {
					PhysicalLocation *struct{ ArtifactLocation struct{ URI string } }
					LogicalLocations []struct{ FullyQualifiedName string }
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &got))
	require.Equal(t, "2.1.0", got.Version)
	run := got.Runs[0]
	require.Len(t, run.Tool.Driver.Rules, len(spec.Kinds))
	for _, r := range run.Results {
		require.Equal(t, r.RuleID, run.Tool.Driver.Rules[r.RuleIndex].ID)
	}
	require.Equal(t, "error", run.Results[0].Level)
	require.Equal(t, "apis/shop%20api.yaml", run.Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI)
	require.Nil(t, run.Results[1].Locations[0].PhysicalLocation)
	require.Equal(t, "cart:80 GET /old", run.Results[1].Locations[0].LogicalLocations[0].FullyQualifiedName)
}

func TestJUnitFailsWhatIsAskedToFail(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, JUnit(&b, []string{"idle:80"}, rows, []spec.Kind{spec.Shadow}))
	var got suites
	require.NoError(t, xml.Unmarshal(b.Bytes(), &got))
	require.Equal(t, 3, got.Tests)
	require.Equal(t, 1, got.Failures)
	require.Equal(t, []string{"cart:80", "idle:80", "shop:80"}, []string{got.Suites[0].Name, got.Suites[1].Name, got.Suites[2].Name})
	require.Equal(t, "shadow", got.Suites[2].Cases[0].Failure.Type)
	require.Contains(t, got.Suites[2].Cases[0].Failure.Text, "called by web, 3 calls")
	require.False(t, strings.Contains(b.String(), "\x1b"), "XML has no place for control characters")
}

func TestEveryKindExplainsItself(t *testing.T) {
	for _, k := range spec.Kinds {
		require.NotEmpty(t, k.Explain(), k)
		require.Contains(t, []string{"high", "medium", "low"}, k.Severity())
	}
}
