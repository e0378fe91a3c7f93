package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/report"
)

func driftStyle(d *spec.Drift) out.Style {
	switch d.Severity {
	case "high":
		return out.Red
	case "medium":
		return out.Yellow
	}
	return out.Plain
}

var driftColumns = []out.Column[spec.Drift]{
	{Name: "KIND", Value: func(d *spec.Drift) string { return string(d.Kind) }, Style: driftStyle},
	{Name: "SEVERITY", Wide: true, Value: func(d *spec.Drift) string { return d.Severity }},
	{Name: "SERVICE", Flex: true, Rank: 2, Value: func(d *spec.Drift) string { return d.Service }},
	{Name: "METHOD", Value: func(d *spec.Drift) string { return d.Method }},
	{Name: "TEMPLATE", Flex: true, Value: func(d *spec.Drift) string { return d.Template }},
	{Name: "AT", Flex: true, Value: func(d *spec.Drift) string { return d.At }},
	{Name: "DECLARED", Wide: true, Flex: true, Value: func(d *spec.Drift) string { return d.Declared }},
	{Name: "OBSERVED", Wide: true, Flex: true, Value: func(d *spec.Drift) string { return d.Observed }},
	{Name: "CALLS", Right: true, Value: func(d *spec.Drift) string { return count(d.Calls) }},
	{Name: "WHY", Flex: true, Rank: 1, Value: func(d *spec.Drift) string { return d.Message }},
	{Name: "FIRST SEEN", Rank: 4, Value: func(d *spec.Drift) string { return when(d.First) }},
	{Name: "LAST SEEN", Rank: 3, Value: func(d *spec.Drift) string { return when(d.Last) }},
	{Name: "CALLERS", Wide: true, Flex: true, Value: func(d *spec.Drift) string {
		names := make([]string, len(d.Callers))
		for i, c := range d.Callers {
			names[i] = c.Name
		}
		return list(names)
	}},
	{Name: "ID", Wide: true, Value: func(d *spec.Drift) string { return d.ID }},
}

// driftFormats are what -o takes here beyond what it does elsewhere.
var driftFormats = append(slices.Clone(out.Formats), "sarif", "junit")

type driftOutput struct{ outputFlag }

// Set takes sarif and junit too.
func (o *driftOutput) Set(s string) error {
	if !slices.Contains(driftFormats, s) {
		return fmt.Errorf("want one of %s", strings.Join(driftFormats, ", "))
	}
	o.format = s
	return nil
}

// kindsFlag is a list of kinds of drift, where "high", "medium" and "low" stand for those of that severity and "any" for all.
type kindsFlag []spec.Kind

// Set, String and Type make it a pflag.Value.
func (k *kindsFlag) Set(s string) error {
	for _, w := range strings.Split(s, ",") {
		n := len(*k)
		for _, kind := range spec.Kinds {
			if w == string(kind) || w == kind.Severity() || w == "any" {
				*k = append(*k, kind)
			}
		}
		if len(*k) == n {
			return fmt.Errorf("%q: want some of any, high, medium, low, %s", w, list(kindNames()))
		}
	}
	return nil
}
func (k *kindsFlag) String() string { return "" }
func (k *kindsFlag) Type() string   { return "KIND,..." }

func kindNames() []string {
	names := make([]string, len(spec.Kinds))
	for i, k := range spec.Kinds {
		names[i] = string(k)
	}
	return names
}

func newDriftCmd() *cobra.Command {
	var src source
	var o driftOutput
	var service string
	var only, failOn kindsFlag
	c := &cobra.Command{
		Use:   "drift",
		Short: "Compare declared APIs with what was observed: one row per difference",
		Long: `One row per difference between what is declared (gnomon spec import) and what was observed. Every row says how often it was
seen, since when, and why it is told. The kinds:

` + kindHelp() + `
With --fail-on the exit code is 3 when there is a row of such a kind; -o sarif and -o junit are for build pipelines.`,
		Example: "  gnomon drift\n  gnomon drift --service nginx.service:80 --fail-on shadow,missing_auth\n  gnomon drift --store ci.db --fail-on high -o junit > drift.xml",
		Args:    cobra.NoArgs,
	}
	f := c.Flags()
	src.add(f)
	o.format = "table"
	f.VarP(&o, "output", "o", "how to print: "+strings.Join(driftFormats, ", "))
	f.StringVar(&service, "service", "", "of this `SERVICE` only, or of those that begin so when it ends in *")
	f.Var(&only, "kind", "only rows of these kinds, or of any kind of a severity: high, medium, low")
	f.Var(&failOn, "fail-on", "exit with 3 when there are rows of these kinds: any, high, medium, low, or kinds")
	completion := append([]string{"any", "high", "medium", "low"}, kindNames()...)
	words(c, "output", driftFormats)
	words(c, "kind", completion)
	words(c, "fail-on", completion)
	c.RunE = func(c *cobra.Command, _ []string) error {
		inv, done, err := src.open(c.Context())
		if err != nil {
			return err
		}
		defer done()
		rows, err := inv.Drift(c.Context(), service)
		if err != nil {
			return err
		}
		if only != nil {
			rows = slices.DeleteFunc(rows, func(d spec.Drift) bool { return !slices.Contains(only, d.Kind) })
		}
		docs, err := inv.Documents(c.Context(), "")
		if err != nil {
			return err
		}
		if len(docs) == 0 {
			note(c.ErrOrStderr(), "no API is declared, so there is nothing to compare with: see `gnomon spec import --help`")
		}
		noteUncovered(c, inv, slices.DeleteFunc(slices.Clone(docs), func(d spec.Document) bool {
			q := strings.TrimSuffix(service, "*")
			return service != "" && d.Service != service && (q == service || !strings.HasPrefix(d.Service, q))
		}))
		switch o.format {
		case "sarif":
			err = report.SARIF(c.OutOrStdout(), buildVersion().Version, rows, func(id string) string {
				for i := range docs {
					if docs[i].ID == id {
						return docs[i].Source
					}
				}
				return ""
			})
		case "junit":
			var services []string
			all, _, serr := inv.Services(c.Context(), inventory.Query{Service: service})
			if serr != nil {
				return serr
			}
			for i := range all {
				if slices.ContainsFunc(docs, func(d spec.Document) bool { return d.Covers(all[i].Service, all[i].Hosts) }) {
					services = append(services, all[i].Service)
				}
			}
			fail := failOn
			if fail == nil {
				fail = spec.Kinds
			}
			err = report.JUnit(c.OutOrStdout(), services, rows, fail)
		default:
			err = out.Print(o.printer(c), driftColumns, rows)
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(rows, func(d spec.Drift) bool { return slices.Contains(failOn, d.Kind) }) {
			return errGate
		}
		return nil
	}
	return c
}

func kindHelp() string {
	var b strings.Builder
	for _, k := range spec.Kinds {
		fmt.Fprintf(&b, "  %-26s %-7s %s\n", k, k.Severity(), k.Explain())
	}
	return b.String()
}
