// Package gnomon holds the import rules of ARCHITECTURE.md as a test.
package gnomon

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/gnomon-sensor/gnomon/"

// rule forbids packages under From to import packages under any of Never, unless they are under one of Except.
type rule struct {
	From   string
	Never  []string
	Except []string
	Why    string
}

var rules = []rule{
	{From: "inventory", Never: []string{"agent", "collector", "cmd", "bpf"}, Why: "the model knows nothing of who fills it"},
	{From: "collector", Never: []string{"agent", "bpf", "cmd"}, Why: "a collector runs where no agent is"},
	{From: "agent", Never: []string{"collector", "cmd", "inventory/store"}, Why: "an agent keeps no inventory"},
	{From: "bpf", Never: []string{"agent", "collector", "inventory", "cmd"}, Why: "bindings only"},
	{From: "inventory/event", Never: []string{"inventory", "external"}, Except: []string{"inventory/event", "google.golang.org/protobuf"}, Why: "the shared model imports the standard library only"},
	{From: "agent/chunk", Never: []string{"agent", "external"}, Except: []string{"agent/chunk"}, Why: "the one contract of every source"},
	{From: "agent/proto", Never: []string{"agent", "external"}, Except: []string{"agent/proto", "agent/chunk"}, Why: "parsers see bytes and the contract"},
	{From: "agent/conn", Never: []string{"agent/redact", "agent/fold", "agent/sink", "agent/source", "agent/enrich"}, Why: "streams know nothing of what Calls become"},
	{From: "agent/source", Never: []string{"agent/redact", "agent/fold", "agent/sink", "agent/conn", "agent/enrich"}, Why: "a source makes chunks and knows nothing of what follows"},
	{From: "agent/fold", Never: []string{"agent"}, Except: []string{"agent/fold"}, Why: "fold sees redacted Calls only"},
	{From: "agent/redact", Never: []string{"agent"}, Except: []string{"agent/redact", "agent/proto"}, Why: "redaction sees Exchanges and gives Calls"},
}

// only lists packages that one place alone may import.
var only = map[string][]string{
	"github.com/cilium/ebpf":              {"bpf", "agent/source/live"},
	"github.com/google/gopacket":          {"agent/source"},
	"github.com/spf13/cobra":              {"cmd"},
	"github.com/segmentio/kafka-go":       {"agent/sink", "collector"},
	"modernc.org/sqlite":                  {"inventory/store"},
	"github.com/getkin/kin-openapi":       {"inventory/spec"},
	"github.com/jackc/pgx":                {"inventory/store"},
	"github.com/gnomon-sensor/gnomon/bpf": {"bpf", "agent/source/live"},
}

func under(pkg, dir string) bool { return pkg == dir || strings.HasPrefix(pkg, dir+"/") }

func forbidden(r rule, from, imp string) bool {
	local := strings.TrimPrefix(imp, module)
	for _, e := range r.Except {
		if under(local, e) || under(imp, e) {
			return false
		}
	}
	for _, n := range r.Never {
		if n == "external" {
			if local == imp && strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
				return true
			}
		} else if local != imp && under(local, n) {
			return true
		}
	}
	return false
}

type pkg struct {
	ImportPath string
	Name       string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Imports", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var all []pkg
	for dec := json.NewDecoder(out); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		all = append(all, p)
	}
	require.NoError(t, cmd.Wait())
	require.NotEmpty(t, all)
	return all
}

func TestRoomsImportOnlyWhatTheDesignAllows(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			for _, r := range rules {
				if under(from, r.From) && forbidden(r, from, imp) {
					t.Errorf("%s imports %s: %s", from, imp, r.Why)
				}
			}
			for what, places := range only {
				ok := !under(imp, what) || what == p.ImportPath
				for _, place := range places {
					ok = ok || under(from, place)
				}
				if !ok {
					t.Errorf("%s imports %s: only %v may", from, imp, places)
				}
			}
		}
	}
}

func TestOnlyCommandsExitTheProcess(t *testing.T) {
	out, err := exec.Command("git", "grep", "-nE", `\b(os\.Exit|log\.Fatal)`, "--", "*.go", ":!*_test.go", ":!cmd", ":!*/fit/*", ":!*/bench/*", ":!*/testdata/*").Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return // nothing found
	}
	if err != nil {
		t.Skipf("git is not there to list the sources: %v", err)
	}
	t.Errorf("only cmd may end the process:\n%s", out)
}

func TestTheImportRulesFindAViolation(t *testing.T) {
	require.True(t, forbidden(rules[0], "inventory/store", module+"agent/conn"))
	require.True(t, forbidden(rules[4], "inventory/event", "github.com/spf13/cobra"))
	require.False(t, forbidden(rules[4], "inventory/event", "encoding/json"))
	require.False(t, forbidden(rules[10], "agent/redact", module+"agent/proto"))
}
