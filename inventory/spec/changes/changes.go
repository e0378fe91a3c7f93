// Package changes compares two declared versions of an API.
//
// In: two OpenAPI documents. Out: one row for each change, and whether it breaks callers. The judgement is oasdiff's; formats
// other than OpenAPI are compared by their operations alone.
package changes

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	oasload "github.com/oasdiff/oasdiff/load"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/load"
)

// Level says what a change means for callers.
type Level string

// The levels.
const (
	Breaking Level = "breaking"
	Warning  Level = "warning" // may break some
	Info     Level = "info"
)

// Change is one difference between two versions.
type Change struct {
	Kind     string `json:"kind"` // oasdiff's rule: "api-removed-without-deprecation", "new-required-request-parameter"
	Level    Level  `json:"level"`
	Method   string `json:"method,omitempty"`
	Template string `json:"template,omitempty"`
	Message  string `json:"message"`
}

// Between lists what changed from one version to the other, the worst first. cfg bounds the reading.
func Between(cfg load.Config, from, to *spec.Document) (list []Change, err error) {
	if from.Ops == nil || to.Ops == nil {
		return nil, fmt.Errorf("compare %s with %s: the documents were not read", from.Source, to.Source)
	}
	if !openapi(from) || !openapi(to) {
		return operations(from, to), nil
	}
	a, err := cfg.Model(from.Source, from.Raw)
	if err != nil {
		return nil, err
	}
	b, err := cfg.Model(to.Source, to.Raw)
	if err != nil {
		return nil, err
	}
	defer func() { // a pair that the library stumbles over is an error, not a crash
		if r := recover(); r != nil {
			list, err = nil, fmt.Errorf("compare %s with %s: oasdiff failed: %v", from.Source, to.Source, r)
		}
	}()
	report, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(), &oasload.SpecInfo{Url: from.Source, Spec: a, Version: from.Version},
		&oasload.SpecInfo{Url: to.Source, Spec: b, Version: to.Version})
	if err != nil {
		return nil, fmt.Errorf("compare %s with %s: %w", from.Source, to.Source, err)
	}
	words := checker.NewDefaultLocalizer()
	list = []Change{}
	for _, c := range checker.CheckBackwardCompatibilityUntilLevel(checker.NewConfig(checker.GetAllChecks()), report, sources, checker.INFO) {
		list = append(list, Change{Kind: c.GetId(), Level: level(c.GetLevel()), Method: c.GetOperation(), Template: c.GetPath(), Message: c.GetUncolorizedText(words)})
	}
	order(list)
	return list, nil
}

func openapi(d *spec.Document) bool {
	return d.Format == spec.OpenAPI20 || d.Format == spec.OpenAPI30 || d.Format == spec.OpenAPI31
}

func level(l checker.Level) Level {
	switch l {
	case checker.ERR:
		return Breaking
	case checker.WARN:
		return Warning
	}
	return Info
}

func order(list []Change) {
	levels := []Level{Breaking, Warning, Info}
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(slices.Index(levels, a.Level), slices.Index(levels, b.Level)), cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method),
			cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Message, b.Message))
	})
}

// operations compares by which operations there are.
func operations(from, to *spec.Document) []Change {
	name := func(o *spec.Operation) string {
		return cmp.Or(o.Selector, o.ID, o.Method+" "+o.Path) + "\x00" + o.Method
	}
	index := func(d *spec.Document) map[string]*spec.Operation {
		m := map[string]*spec.Operation{}
		for i := range d.Ops {
			if !d.Ops[i].Optional {
				m[name(&d.Ops[i])] = &d.Ops[i]
			}
		}
		return m
	}
	list := []Change{}
	base := ""
	if len(to.Bases) > 0 {
		base = to.Bases[0] // of a GraphQL schema, all there is of the path
	}
	a, b := index(from), index(to)
	for n, o := range a {
		switch now := b[n]; {
		case now == nil:
			list = append(list, Change{"operation-removed", Breaking, o.Method, cmp.Or(o.Path, base), cmp.Or(o.Selector, o.ID) + " was removed"})
		case now.Deprecated && !o.Deprecated:
			list = append(list, Change{"operation-deprecated", Info, o.Method, cmp.Or(o.Path, base), cmp.Or(o.Selector, o.ID) + " was deprecated"})
		}
	}
	for n, o := range b {
		if a[n] == nil {
			list = append(list, Change{"operation-added", Info, o.Method, cmp.Or(o.Path, base), cmp.Or(o.Selector, o.ID) + " was added"})
		}
	}
	order(list)
	return list
}
