package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/gnomon-sensor/gnomon/deploy/lab"
)

// official is the document that Alertmanager's authors publish for the version under test.
const official = "../../inventory/spec/testdata/alertmanager/v0.28.1.yaml"

// TestTheInferredDocumentAgreesWithTheAuthorsOwn lets the sensor watch a real Alertmanager while its whole API is used, and holds what
// it infers against the official document, and what it saw against it. To run it:
//
//	go install github.com/prometheus/alertmanager/cmd/alertmanager@v0.28.1
func TestTheInferredDocumentAgreesWithTheAuthorsOwn(t *testing.T) {
	need(t, true, "alertmanager")
	dir := t.TempDir()
	port := lab.FreePort()
	config := filepath.Join(dir, "alertmanager.yml")
	require.NoError(t, os.WriteFile(config, []byte("route: {receiver: default, group_by: [alertname], group_wait: 1s}\nreceivers: [{name: default}, {name: pager}]\n"), 0o600))
	server := exec.Command("alertmanager", "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"), fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port), "--cluster.listen-address=")
	require.NoError(t, server.Start())
	t.Cleanup(func() { server.Process.Signal(syscall.SIGTERM); server.Wait() })
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		r, err := http.Get(base + "/-/ready")
		if err == nil {
			r.Body.Close()
		}
		return err == nil && r.StatusCode == 200
	}, 20*time.Second, 100*time.Millisecond)
	sensor, err := lab.StartSensor(gnomon, dir)
	require.NoError(t, err)
	t.Cleanup(func() { sensor.Stop() })
	useAlertmanager(t, base+"/api/v2")
	time.Sleep(3 * time.Second) // the last Tallies
	require.NoError(t, sensor.Stop())

	var apis []struct{ Service string }
	require.NoError(t, sensor.Query(&apis, "apis"))
	service := ""
	for _, a := range apis {
		if strings.HasSuffix(a.Service, fmt.Sprintf(":%d", port)) {
			service = a.Service
		}
	}
	require.NotEmpty(t, service, "%+v", apis)
	out, err := exec.Command(gnomon, "export", "openapi", "--format", "json", "--service", service, "--store", sensor.Store).Output()
	require.NoError(t, err)
	inferred, err := openapi3.NewLoader().LoadFromData(out)
	require.NoError(t, err)
	require.NoError(t, inferred.Validate(t.Context()))
	authors := authorsDocument(t)

	all := compareDocuments(authors, inferred)
	t.Logf("agreement with the official document: %s", all)
	for _, m := range all.missing {
		t.Logf("declared, and not inferred: %s", m)
	}
	for _, m := range all.extra {
		t.Logf("inferred, and not declared: %s", m)
	}
	require.Equal(t, all.operations, all.operationsFound, "each operation, under its author's path")
	require.GreaterOrEqual(t, float64(all.paramsFound)/float64(all.params), 0.95)
	require.GreaterOrEqual(t, float64(all.fieldsFound)/float64(all.fields), 0.9)
	require.LessOrEqual(t, len(all.extra), 2)
	for _, m := range all.missing {
		if _, status, ok := strings.Cut(m, " status "); ok {
			require.Equal(t, "500", status, "all that can be provoked from outside is inferred: %s", m)
		}
	}

	require.NoError(t, exec.Command(gnomon, "spec", "import", official, "--service", service, "--store", sensor.Store).Run())
	var drift []struct{ Kind, Method, Template, At, Message string }
	require.NoError(t, sensor.Query(&drift, "drift", "--service", service))
	for _, d := range drift {
		t.Logf("drift: %s %s %s %s: %s", d.Kind, d.Method, d.Template, d.At, d.Message)
		require.NotContains(t, []string{"shadow", "orphan", "zombie", "undocumented_method", "type_mismatch"}, d.Kind)
	}
}

// useAlertmanager uses every operation of the API with every parameter, several times, and provokes the declared errors.
func useAlertmanager(t *testing.T, api string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	call := func(method, path string, body any) (int, []byte) {
		var b io.Reader
		if body != nil {
			j, err := json.Marshal(body)
			require.NoError(t, err)
			b = bytes.NewReader(j)
		}
		r, err := http.NewRequest(method, api+path, b)
		require.NoError(t, err)
		if body != nil {
			r.Header.Set("Content-Type", "application/json")
		}
		res, err := client.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, text
	}
	type list = []any
	type object = map[string]any
	for i := range 8 {
		name := fmt.Sprintf("Disk%d", i)
		now := time.Now().UTC()
		status, _ := call("POST", "/alerts", list{object{"labels": object{"alertname": name, "severity": "warning"}, "annotations": object{"summary": "full"}, "generatorURL": "http://prometheus.example/graph",
			"startsAt": now.Format(time.RFC3339Nano), "endsAt": now.Add(time.Hour).Format(time.RFC3339Nano)}})
		require.Equal(t, 200, status)
		flags := "active=true&silenced=true&inhibited=false&unprocessed=true&receiver=default&filter=alertname%3D%22" + name + "%22"
		for _, path := range []string{"/alerts?" + flags, "/alerts", "/alerts/groups?" + strings.Replace(flags, "unprocessed", "muted", 1), "/alerts/groups", "/status", "/receivers"} {
			status, _ := call("GET", path, nil)
			require.Equal(t, 200, status, path)
		}
		silence := object{"matchers": list{object{"name": "alertname", "value": name, "isRegex": false, "isEqual": true}}, "startsAt": now.Format(time.RFC3339Nano),
			"endsAt": now.Add(time.Hour).Format(time.RFC3339Nano), "createdBy": "me", "comment": "test"}
		var made struct {
			ID string `json:"silenceID"`
		}
		status, text := call("POST", "/silences", silence)
		require.Equal(t, 200, status)
		require.NoError(t, json.Unmarshal(text, &made))
		silence["id"] = made.ID
		call("POST", "/silences", silence)
		call("GET", "/silence/"+made.ID, nil)
		call("GET", "/silences", nil)
		call("GET", "/silences?filter=alertname%3D%22"+name+"%22", nil)
		if i%2 == 0 {
			call("DELETE", "/silence/"+made.ID, nil)
		}
	}
	const none = "/silence/00000000-0000-4000-8000-000000000000"
	for _, bad := range [][2]string{{"GET", none}, {"DELETE", none}, {"GET", "/silences?filter=%7B%7B"}, {"GET", "/alerts?filter=%7B%7B"}, {"GET", "/alerts/groups?filter=%7B%7B"}} {
		call(bad[0], bad[1], nil)
	}
	call("POST", "/alerts", list{object{"labels": object{}}})
	call("POST", "/silences", object{"comment": "no matchers"})
	late := object{"matchers": list{object{"name": "a", "value": "b", "isRegex": false}}, "startsAt": "2001-01-01T00:00:00Z", "endsAt": "2001-01-02T00:00:00Z", "createdBy": "me", "comment": "over"}
	call("POST", "/silences", late)
	late["id"], late["endsAt"] = "00000000-0000-4000-8000-000000000000", "2999-01-01T00:00:00Z"
	call("POST", "/silences", late)
}

func authorsDocument(t *testing.T) *openapi3.T {
	t.Helper()
	raw, err := os.ReadFile(official)
	require.NoError(t, err)
	var tree any
	require.NoError(t, yaml.Unmarshal(raw, &tree))
	j, err := json.Marshal(tree)
	require.NoError(t, err)
	var v2 openapi2.T
	require.NoError(t, json.Unmarshal(j, &v2))
	doc, err := openapi2conv.ToV3(&v2)
	require.NoError(t, err)
	return doc
}

// agreement counts what two documents have in common.
type agreement struct {
	operations, operationsFound, params, paramsFound, statuses, statusesFound, fields, fieldsFound int
	missing, extra                                                                                 []string
}

func (a agreement) String() string {
	return fmt.Sprintf("operations %d of %d, parameters %d of %d, statuses %d of %d, body fields %d of %d, not declared %d", a.operationsFound, a.operations, a.paramsFound, a.params,
		a.statusesFound, a.statuses, a.fieldsFound, a.fields, len(a.extra))
}

// blankNames makes paths comparable whose parameters have other names.
func blankNames(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i] = "{}"
		}
	}
	return strings.Join(parts, "/")
}

func compareDocuments(authors, inferred *openapi3.T) (a agreement) {
	found := map[string]*openapi3.Operation{}
	for path, item := range inferred.Paths.Map() {
		for method, op := range item.Operations() {
			if strings.HasPrefix(path, "/api/v2/") {
				found[method+" "+blankNames(strings.TrimPrefix(path, "/api/v2"))] = op
			}
		}
	}
	for path, item := range authors.Paths.Map() {
		for method, op := range item.Operations() {
			name := method + " " + path
			a.operations++
			got := found[method+" "+blankNames(path)]
			delete(found, method+" "+blankNames(path))
			if got == nil {
				a.missing = append(a.missing, name)
				continue
			}
			a.operationsFound++
			a.parameters(name, append(slices.Clone(item.Parameters), op.Parameters...), got.Parameters)
			if op.RequestBody != nil && got.RequestBody != nil {
				a.body(name+" request", schemaOf(op.RequestBody.Value.Content), schemaOf(got.RequestBody.Value.Content))
			}
			for status, r := range op.Responses.Map() {
				a.statuses++
				other := got.Responses.Value(status)
				if other == nil {
					a.missing = append(a.missing, name+" status "+status)
					continue
				}
				a.statusesFound++
				if status == "200" {
					a.body(name+" 200", schemaOf(r.Value.Content), schemaOf(other.Value.Content))
				}
			}
			for status := range got.Responses.Map() {
				if op.Responses.Value(status) == nil {
					a.extra = append(a.extra, name+" status "+status)
				}
			}
		}
	}
	for name := range found {
		a.extra = append(a.extra, name)
	}
	slices.Sort(a.missing)
	slices.Sort(a.extra)
	return a
}

func (a *agreement) parameters(name string, want, got openapi3.Parameters) {
	key := func(p *openapi3.Parameter) string {
		if p.In == "path" {
			return "path"
		}
		return p.In + " " + p.Name
	}
	have := map[string]bool{}
	for _, p := range got {
		have[key(p.Value)] = true
	}
	counted := map[string]bool{}
	for _, p := range want {
		if counted[key(p.Value)] { // of the path and of the operation
			continue
		}
		counted[key(p.Value)] = true
		a.params++
		if k := key(p.Value); have[k] {
			a.paramsFound++
			delete(have, k)
		} else {
			a.missing = append(a.missing, name+" "+k)
		}
	}
	for k := range have {
		a.extra = append(a.extra, name+" "+k)
	}
}

func schemaOf(c openapi3.Content) *openapi3.Schema {
	if m := c.Get("application/json"); m != nil && m.Schema != nil {
		return m.Schema.Value
	}
	return nil
}

func (a *agreement) body(name string, want, got *openapi3.Schema) {
	fields, maps, have := map[string]string{}, map[string]bool{}, map[string]string{}
	flatten(want, "$", 6, fields, maps)
	flatten(got, "$", 6, have, map[string]bool{})
	for at, typ := range fields {
		a.fields++
		switch other, ok := have[at]; {
		case !ok:
			a.missing = append(a.missing, name+" "+at)
		case other != typ && other != "" && typ != "":
			a.missing = append(a.missing, name+" "+at+" as "+typ+" (inferred: "+other+")")
		default:
			a.fieldsFound++
		}
	}
next:
	for at := range have {
		if _, ok := fields[at]; ok {
			continue
		}
		for m := range maps {
			if strings.HasPrefix(at, m+".") {
				continue next // a key of a map: the author did not name it either
			}
		}
		a.extra = append(a.extra, name+" "+at)
	}
}

// flatten lists the places of a schema with their types; maps are the places whose keys are data.
func flatten(s *openapi3.Schema, at string, depth int, fields map[string]string, maps map[string]bool) {
	if s == nil || depth == 0 {
		return
	}
	if s.Type != nil && len(*s.Type) > 0 {
		fields[at] = (*s.Type)[0]
	} else if _, ok := fields[at]; !ok {
		fields[at] = ""
	}
	for _, part := range s.AllOf {
		flatten(part.Value, at, depth, fields, maps)
	}
	for name, p := range s.Properties {
		flatten(p.Value, at+"."+name, depth-1, fields, maps)
	}
	if s.Items != nil {
		flatten(s.Items.Value, at+"[]", depth-1, fields, maps)
	}
	if s.AdditionalProperties.Schema != nil {
		maps[at] = true
	}
}
