package spec

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// Version is one version of an endpoint that is served under several.
type Version struct {
	Version  string           `json:"version"` // "v1"
	Service  string           `json:"service"`
	Template string           `json:"template"`
	Endpoint string           `json:"endpoint"`
	Calls    uint64           `json:"calls"`
	First    event.Time       `json:"first_seen,omitzero"`
	Last     event.Time       `json:"last_seen,omitzero"`
	Callers  []observe.Caller `json:"callers"`
}

// SideBySide is an endpoint that is served under more than one version.
type SideBySide struct {
	Method   string    `json:"method"`
	Template string    `json:"template"` // with "{version}" where they differ
	Versions []Version `json:"versions"` // oldest first
}

// Duplicate is two services that serve the same API, or nearly.
type Duplicate struct {
	Service  string   `json:"service"`
	Other    string   `json:"other"`
	Common   int      `json:"common"`   // endpoints in both, versions aside
	Overlap  float64  `json:"overlap"`  // Common of all endpoints of the smaller one
	Examples []string `json:"examples"` // some of them
}

// minCommon and minOverlap are what makes two services duplicates: three endpoints that are not just "/" and "/health", and
// most of the smaller one.
const (
	minCommon  = 3
	minOverlap = 0.6
	maxExample = 5
)

// Versions finds endpoints that are served under several versions, in one service or several.
func Versions(services []observe.Service) []SideBySide {
	byKey := map[string]*SideBySide{}
	for i := range services {
		for j := range services[i].Endpoints {
			e := &services[i].Endpoints[j]
			version, rest := cutVersion(e.Template)
			if version == "" || !e.Served || e.Probe {
				continue
			}
			key := e.Method + " " + strings.Join(blank(rest), "/") + " " + e.Operation
			s := byKey[key]
			if s == nil {
				s = &SideBySide{Method: e.Method, Template: rest}
				byKey[key] = s
			}
			callers := slices.Clone(e.Callers)
			if callers == nil {
				callers = []observe.Caller{}
			}
			s.Versions = append(s.Versions, Version{version, services[i].Service, e.Template, e.ID, e.Calls, e.First, e.Last, callers})
		}
	}
	list := []SideBySide{}
	for _, s := range byKey {
		slices.SortFunc(s.Versions, func(a, b Version) int {
			return cmp.Or(compareVersions(a.Version, b.Version), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Template, b.Template))
		})
		if s.Versions[0].Version != s.Versions[len(s.Versions)-1].Version {
			list = append(list, *s)
		}
	}
	slices.SortFunc(list, func(a, b SideBySide) int {
		return cmp.Or(cmp.Compare(a.Template, b.Template), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Versions[0].Endpoint, b.Versions[0].Endpoint))
	})
	return list
}

// cutVersion takes the first version segment out of a template: "/api/v1/pets" gives v1 and "/api/{version}/pets".
func cutVersion(template string) (version, rest string) {
	segments := strings.Split(template, "/")
	for i, s := range segments {
		if len(s) > 1 && len(s) < 12 && (s[0] == 'v' || s[0] == 'V') && isNumber(s[1:]) && numbered(s[1:]) {
			segments[i] = "{version}"
			return s, strings.Join(segments, "/")
		}
	}
	return "", template
}

// numbered says that s reads like the rest of a version: "1", "2.1", "1beta2".
func numbered(s string) bool {
	s = strings.TrimLeft(s, "0123456789.")
	for _, word := range []string{"alpha", "beta", "rc"} {
		if r, ok := strings.CutPrefix(s, word); ok {
			return strings.TrimLeft(r, "0123456789") == ""
		}
	}
	return s == ""
}

// Duplicates finds pairs of services that serve the same API.
func Duplicates(services []observe.Service) []Duplicate {
	sets := make([]map[string]string, len(services))
	for i := range services {
		sets[i] = map[string]string{}
		for j := range services[i].Endpoints {
			e := &services[i].Endpoints[j]
			if _, rest := cutVersion(e.Template); e.Served && !e.Probe && strings.Trim(e.Template, "/") != "" {
				sets[i][e.Method+" "+strings.Join(blank(rest), "/")+" "+e.Operation] = e.Method + " " + e.Template
			}
		}
	}
	holders := map[string][]int{}
	for i, set := range sets {
		for k := range set {
			holders[k] = append(holders[k], i)
		}
	}
	common := map[[2]int]int{}
	for _, list := range holders {
		if len(list) > 64 {
			continue // what everybody serves tells nothing
		}
		for a := range list {
			for b := range list[:a] {
				common[[2]int{min(list[a], list[b]), max(list[a], list[b])}]++
			}
		}
	}
	out := []Duplicate{}
	for pair, n := range common {
		a, b := pair[0], pair[1]
		overlap := float64(n) / float64(min(len(sets[a]), len(sets[b])))
		if n < minCommon || overlap < minOverlap {
			continue
		}
		d := Duplicate{Service: services[a].Service, Other: services[b].Service, Common: n, Overlap: overlap}
		for k, name := range sets[a] {
			if sets[b][k] != "" {
				d.Examples = append(d.Examples, name)
			}
		}
		slices.Sort(d.Examples)
		d.Examples = d.Examples[:min(len(d.Examples), maxExample)]
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b Duplicate) int {
		return cmp.Or(-cmp.Compare(a.Common, b.Common), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Other, b.Other))
	})
	return out
}
