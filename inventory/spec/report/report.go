// Package report writes drift in the forms that build pipelines read: SARIF 2.1.0 and JUnit XML.
//
// In: rows of drift. Out: text. The same rows give the same text: there is no time of writing in it.
package report

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

// Source tells where a document is from, by its id; "" when that is not known.
type Source func(document string) string

type object = map[string]any

// SARIF writes one run with a rule for each kind and a result for each row (OASIS SARIF 2.1.0, sections 3.14, 3.27 and 3.49). The
// location is the document's source, where there is one, and the endpoint as a logical location. version is gnomon's.
func SARIF(w io.Writer, version string, rows []spec.Drift, source Source) error {
	rules := []object{}
	index := map[spec.Kind]int{}
	for _, k := range spec.Kinds {
		index[k] = len(rules)
		rules = append(rules, object{"id": string(k), "name": pascal(string(k)), "shortDescription": object{"text": strings.ReplaceAll(string(k), "_", " ")},
			"fullDescription": object{"text": k.Explain()}, "help": object{"text": k.Explain()},
			"defaultConfiguration": object{"level": level(k)}, "properties": object{"security-severity": severity(k)}})
	}
	results := []object{}
	for i := range rows {
		d := &rows[i]
		name := d.Method + " " + d.Template
		place := object{"logicalLocations": []object{{"fullyQualifiedName": d.Service + " " + name, "name": name, "kind": "function"}}}
		if src := source(d.Document); src != "" {
			place["physicalLocation"] = object{"artifactLocation": object{"uri": (&url.URL{Path: src}).EscapedPath()}, "region": object{"startLine": 1}}
			if u, err := url.Parse(src); err == nil && u.Scheme != "" {
				place["physicalLocation"] = object{"artifactLocation": object{"uri": u.String()}, "region": object{"startLine": 1}}
			}
		}
		props := object{"service": d.Service, "calls": d.Calls, "callers": d.Callers}
		if d.First != 0 {
			props["first_seen"], props["last_seen"] = d.First, d.Last
		}
		if d.At != "" {
			props["at"] = d.At
		}
		results = append(results, object{"ruleId": string(d.Kind), "ruleIndex": index[d.Kind], "level": level(d.Kind), "message": object{"text": message(d)},
			"locations": []object{place}, "partialFingerprints": object{"gnomon/v1": d.ID}, "properties": props})
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(object{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": []object{{
		"tool":    object{"driver": object{"name": "gnomon", "version": cmp.Or(version, "dev"), "rules": rules}},
		"results": results, "columnKind": "unicodeCodePoints"}}})
	if err != nil {
		return fmt.Errorf("write SARIF: %w", err)
	}
	return nil
}

func message(d *spec.Drift) string {
	return fmt.Sprintf("%s %s of %s: %s (%d calls)", d.Method, d.Template, d.Service, d.Message, d.Calls)
}

func level(k spec.Kind) string {
	switch k.Severity() {
	case "high":
		return "error"
	case "medium":
		return "warning"
	}
	return "note"
}

func severity(k spec.Kind) string {
	switch k.Severity() {
	case "high":
		return "8.0"
	case "medium":
		return "5.0"
	}
	return "2.0"
}

func pascal(s string) string {
	var b strings.Builder
	for _, w := range strings.Split(s, "_") {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}

type suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Suites   []suite  `xml:"testsuite"`
}

type suite struct {
	Name     string  `xml:"name,attr"`
	Tests    int     `xml:"tests,attr"`
	Failures int     `xml:"failures,attr"`
	Cases    []tcase `xml:"testcase"`
}

type tcase struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	Failure *failure `xml:"failure,omitempty"`
	Out     string   `xml:"system-out,omitempty"`
}

type failure struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit writes a suite for each service and a case for each row; a row fails when its kind is among fail, else its text goes to
// system-out. A service without rows has one case that passes.
func JUnit(w io.Writer, services []string, rows []spec.Drift, fail []spec.Kind) error {
	all := suites{Name: "gnomon drift"}
	names := slices.Clone(services)
	for i := range rows {
		names = append(names, rows[i].Service)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		s := suite{Name: name}
		for i := range rows {
			d := &rows[i]
			if d.Service != name {
				continue
			}
			c := tcase{Class: name, Name: strings.TrimSpace(string(d.Kind) + " " + d.Method + " " + d.Template + " " + d.At)}
			text := message(d)
			if d.First != 0 {
				text += fmt.Sprintf("\nfirst seen %s, last seen %s", d.First, d.Last)
			}
			for _, by := range d.Callers {
				text += fmt.Sprintf("\ncalled by %s, %d calls", by.Name, by.Calls)
			}
			if slices.Contains(fail, d.Kind) {
				c.Failure = &failure{string(d.Kind), d.Message, text}
				s.Failures++
			} else {
				c.Out = text
			}
			s.Cases = append(s.Cases, c)
		}
		if len(s.Cases) == 0 {
			s.Cases = []tcase{{Class: name, Name: "as declared"}}
		}
		s.Tests = len(s.Cases)
		all.Tests, all.Failures = all.Tests+s.Tests, all.Failures+s.Failures
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return fmt.Errorf("write JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}
