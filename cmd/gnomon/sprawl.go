package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
	"github.com/gnomon-sensor/gnomon/collector/api"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

// sprawlOptions are the flags of `gnomon apis` that ask where APIs grow wild.
type sprawlOptions struct{ versions, duplicates bool }

func (o *sprawlOptions) add(c *cobra.Command) {
	c.Flags().BoolVar(&o.versions, "versions", false, "the endpoints that are served under several versions instead, with who calls which")
	c.Flags().BoolVar(&o.duplicates, "duplicates", false, "the pairs of services that serve the same API instead")
}

func (o *sprawlOptions) asked() bool { return o.versions || o.duplicates }

// sideRow is one version of an endpoint that has several.
type sideRow struct {
	Group string `json:"group"` // method and template with {version}, the same for all its versions
	spec.Version
}

var sideColumns = []out.Column[sideRow]{
	{Name: "ENDPOINT", Flex: true, Value: func(r *sideRow) string { return r.Group }},
	{Name: "VERSION", Value: func(r *sideRow) string { return r.Version.Version }},
	{Name: "SERVICE", Flex: true, Value: func(r *sideRow) string { return r.Service }},
	{Name: "CALLS", Right: true, Value: func(r *sideRow) string { return count(r.Calls) }},
	{Name: "CALLERS", Flex: true, Value: func(r *sideRow) string {
		names := make([]string, len(r.Callers))
		for i, c := range r.Callers {
			names[i] = c.Name
		}
		return list(names)
	}},
	{Name: "LAST SEEN", Rank: 1, Value: func(r *sideRow) string { return when(r.Last) }},
	{Name: "ID", Wide: true, Value: func(r *sideRow) string { return r.Endpoint }},
}

var duplicateColumns = []out.Column[spec.Duplicate]{
	{Name: "SERVICE", Flex: true, Value: func(d *spec.Duplicate) string { return d.Service }},
	{Name: "OTHER", Flex: true, Value: func(d *spec.Duplicate) string { return d.Other }},
	{Name: "COMMON", Right: true, Value: func(d *spec.Duplicate) string { return count(d.Common) }},
	{Name: "OVERLAP", Right: true, Value: func(d *spec.Duplicate) string { return strconv.FormatFloat(100*d.Overlap, 'f', 0, 64) + "%" }},
	{Name: "EXAMPLES", Flex: true, Value: func(d *spec.Duplicate) string { return strings.Join(d.Examples, ", ") }},
}

func (o *sprawlOptions) print(c *cobra.Command, p *out.Printer, inv api.Inventory, service string) error {
	if o.versions && o.duplicates {
		return usageError{errors.New("--versions and --duplicates: give one of them")}
	}
	services, err := inv.Observed(c.Context(), service)
	if err != nil {
		return err
	}
	if o.duplicates {
		return out.Print(p, duplicateColumns, spec.Duplicates(services))
	}
	rows := []sideRow{}
	for _, s := range spec.Versions(services) {
		for _, v := range s.Versions {
			rows = append(rows, sideRow{s.Method + " " + s.Template, v})
		}
	}
	return out.Print(p, sideColumns, rows)
}
