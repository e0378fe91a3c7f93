package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
	"github.com/gnomon-sensor/gnomon/collector/alert"
	"github.com/gnomon-sensor/gnomon/collector/api"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

func severityStyle(f *alert.Finding) out.Style {
	switch {
	case f.SeverityID >= alert.High:
		return out.Red
	case f.SeverityID >= alert.Low:
		return out.Yellow
	}
	return out.Plain
}

func findingTime(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05Z")
}

var alertColumns = []out.Column[alert.Finding]{
	{Name: "TIME", Value: func(f *alert.Finding) string { return findingTime(f.Time) }},
	{Name: "SEVERITY", Value: func(f *alert.Finding) string { return f.Severity }, Style: severityStyle},
	{Name: "KIND", Value: func(f *alert.Finding) string {
		return strings.Join(f.FindingInfo.Types[:min(1, len(f.FindingInfo.Types))], " ")
	}},
	{Name: "SERVICE", Flex: true, Value: func(f *alert.Finding) string { return f.Unmapped.Gnomon.Service }},
	{Name: "CALLER", Flex: true, Value: func(f *alert.Finding) string {
		g := &f.Unmapped.Gnomon
		return cmp.Or(g.Caller, g.Credential, strings.Join(g.Peers, " "))
	}},
	{Name: "METHOD", Wide: true, Value: func(f *alert.Finding) string { return f.Unmapped.Gnomon.Method }},
	{Name: "TEMPLATE", Wide: true, Flex: true, Value: func(f *alert.Finding) string { return f.Unmapped.Gnomon.Template }},
	{Name: "CREDENTIAL", Wide: true, Value: func(f *alert.Finding) string { return f.Unmapped.Gnomon.Credential }},
	{Name: "EXPECTED", Wide: true, Flex: true, Value: func(f *alert.Finding) string { return pattern(f, false) }},
	{Name: "OBSERVED", Flex: true, Rank: 2, Value: func(f *alert.Finding) string { return pattern(f, true) }},
	{Name: "CONFIDENCE", Right: true, Rank: 3, Value: func(f *alert.Finding) string { return count(f.ConfidenceScore) }},
	{Name: "STATUS", Wide: true, Value: func(f *alert.Finding) string { return f.Status }},
	{Name: "NEXT STEP", Wide: true, Flex: true, Value: func(f *alert.Finding) string { return f.Remediation.Desc }},
	{Name: "ID", Rank: 4, Value: func(f *alert.Finding) string { return f.FindingInfo.UID }},
}

func pattern(f *alert.Finding, observed bool) string {
	for i := range f.AnomalyAnalyses {
		list := f.AnomalyAnalyses[i].Baselines
		if observed {
			list = f.AnomalyAnalyses[i].Anomalies
		}
		if len(list) > 0 {
			return list[0].ObservationParameter + ": " + list[0].ObservedPattern
		}
	}
	return ""
}

func newAlertsCmd() *cobra.Command {
	var o listOptions
	var follow, all bool
	c := &cobra.Command{
		Use:   "alerts",
		Short: "List what the detectors found, newest last",
		Long: `What is not normal: one row per incident with who did it, what was expected and what was observed. An incident that turns out to be
something else, or spreads, comes again as an update with the same id. Ordinary change that explains what would have been an
alert (a deploy, a rotation, a new feature) is listed with --all. -o jsonl gives each as the OCSF 1.8 Detection Finding that Kafka carries.`,
		Example: "  gnomon alerts --since 24h\n  gnomon alerts --follow\n  gnomon alerts -o jsonl | jq -r '.message'",
		Args:    cobra.NoArgs,
	}
	o.add(c, false)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new alerts as they come")
	c.Flags().BoolVar(&all, "all", false, "also those of severity informational")
	c.RunE = func(c *cobra.Command, _ []string) error {
		q, err := o.query()
		if err != nil {
			return err
		}
		inv, done, err := o.open(c.Context())
		if err != nil {
			return err
		}
		defer done()
		return printAlerts(c.Context(), o.output.printer(c), inv, q, follow, all)
	}
	return c
}

func printAlerts(ctx context.Context, p *out.Printer, inv api.Inventory, q inventory.Query, follow, all bool) error {
	recent, last, err := inv.Alerts(ctx, q, 0, cmp.Or(q.Limit, store.KeepAlerts))
	if err != nil {
		return err
	}
	var rows []alert.Finding
	var raw [][]byte
	for i := range recent {
		if recent[i].Severity <= alert.Informational && !all {
			continue
		}
		f, err := decodeFinding(&recent[i])
		if err != nil {
			return err
		}
		rows, raw = append(rows, f), append(raw, recent[i].JSON)
	}
	if !follow && (p.Format == "table" || p.Format == "wide") {
		return out.Print(p, alertColumns, rows)
	}
	s := out.NewStream(p, alertColumns)
	for i := range rows {
		if err := s.Row(&rows[i], raw[i]); err != nil {
			return err
		}
	}
	if follow {
		err = inv.FollowAlerts(ctx, q, last, func(a store.Alert) error {
			f, err := decodeFinding(&a)
			if err != nil || f.SeverityID <= alert.Informational && !all {
				return err
			}
			return s.Row(&f, a.JSON)
		})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return s.Close()
}

func decodeFinding(a *store.Alert) (f alert.Finding, err error) {
	if err = json.Unmarshal(a.JSON, &f); err != nil {
		err = fmt.Errorf("alert %s: %w", a.UID, err)
	}
	return f, err
}
