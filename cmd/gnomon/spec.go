package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
	"github.com/gnomon-sensor/gnomon/collector"
	"github.com/gnomon-sensor/gnomon/collector/api"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/changes"
	"github.com/gnomon-sensor/gnomon/inventory/spec/load"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

func newSpecCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "spec",
		Short: "Import, list and compare declared APIs",
		Long: `Declared APIs are what observed traffic is measured against: OpenAPI 2.0, 3.0 and 3.1, GraphQL schemas, and gRPC descriptor
sets as "protoc --descriptor_set_out" or "buf build" write them.`,
		Example: "  gnomon spec import openapi.yaml --service nginx.service:80\n  gnomon spec list\n  gnomon drift",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newSpecImportCmd(), newSpecListCmd(), newSpecShowCmd(), newSpecRemoveCmd(), newSpecDiffCmd())
	return c
}

var documentColumns = []out.Column[spec.Document]{
	{Name: "ID", Value: func(d *spec.Document) string { return d.ID }},
	{Name: "SERVICE", Flex: true, Value: func(d *spec.Document) string {
		if d.Service == "" {
			return "(" + strings.Join(d.Hosts, " ") + ")"
		}
		return d.Service
	}},
	{Name: "TITLE", Flex: true, Value: func(d *spec.Document) string { return d.Title }},
	{Name: "VERSION", Value: func(d *spec.Document) string { return d.Version }},
	{Name: "FORMAT", Rank: 2, Value: func(d *spec.Document) string { return string(d.Format) }},
	{Name: "OPERATIONS", Right: true, Value: func(d *spec.Document) string { return count(d.Operations) }},
	{Name: "BASES", Wide: true, Value: func(d *spec.Document) string { return list(d.Bases) }},
	{Name: "HOSTS", Wide: true, Value: func(d *spec.Document) string { return list(d.Hosts) }},
	{Name: "IMPORTED", Rank: 3, Value: func(d *spec.Document) string { return when(d.Imported) }},
	{Name: "SOURCE", Rank: 1, Flex: true, Value: func(d *spec.Document) string { return d.Source }},
}

// limits are the flags that bound the reading of documents.
type limits struct{ load.Config }

func (l *limits) add(f *pflag.FlagSet) {
	f.BoolVar(&l.Refs, "follow-refs", false, "read the files of the same folder that a document refers to")
	f.Int64Var(&l.MaxBytes, "max-bytes", 32<<20, "refuse documents of more than so many `BYTES`")
	f.StringVar(&l.GraphQLPath, "graphql-path", "/graphql", "the `PATH` that a GraphQL schema is served at")
}

// openWriter gives the inventory to change it: that of a server, or a store that no other process writes.
func (s *source) openWriter(ctx context.Context) (inv api.Inventory, done func(), err error) {
	if s.store == "" {
		return s.open(ctx)
	}
	if s.server != "" {
		return nil, nil, usageError{errors.New("--server and --store: give one of them")}
	}
	st, err := store.Open(ctx, s.store)
	if errors.Is(err, store.ErrInUse) {
		return nil, nil, fmt.Errorf("%w; or let that one do it: leave --store out", err)
	}
	if err != nil {
		return nil, nil, err
	}
	c, err := collector.New(ctx, collector.Config{}, inventory.New(inventory.Config{MaxBytes: 1 << 40}), st)
	if err != nil {
		st.Close()
		return nil, nil, err
	}
	return c, func() { st.Close() }, nil
}

func newSpecImportCmd() *cobra.Command {
	var src source
	var o outputFlag
	var l limits
	var service string
	c := &cobra.Command{
		Use:   "import FILE|DIR|URL...",
		Short: "Declare APIs",
		Long: `Declares APIs from files, from all documents of folders, or from URLs. With --service they declare that service; without, each
service that answers to a host among a document's servers. A document takes the place of the one of the same service with the
same title and version; other versions stay, and what only an older one declares is a zombie when it is called.

A document that is broken, too large or refers to places it should not is refused with its line and the reason; the others are
imported, and the exit code is 1.`,
		Example: "  gnomon spec import openapi.yaml --service nginx.service:80\n  gnomon spec import apis/ --follow-refs --store shop.db\n  gnomon spec import https://shop.example/openapi.json",
		Args:    cobra.MinimumNArgs(1),
	}
	src.add(c.Flags())
	o.add(c)
	l.add(c.Flags())
	c.Flags().StringVar(&service, "service", "", "the `SERVICE` that they declare, as `gnomon apis` names it")
	c.RunE = func(c *cobra.Command, args []string) error {
		var docs []*spec.Document
		var bad []error
		for _, name := range args { // read all before anything is changed
			d, err := l.Open(c.Context(), name)
			docs = append(docs, d...)
			if err != nil {
				bad = append(bad, err)
			}
		}
		if len(docs) == 0 {
			return errors.Join(bad...)
		}
		inv, done, err := src.openWriter(c.Context())
		if err != nil {
			return errors.Join(append(bad, err)...)
		}
		defer done()
		rows := []spec.Document{}
		now := event.TimeOf(time.Now())
		for _, d := range docs {
			d.Service, d.Imported = service, now
			read, err := inv.Import(c.Context(), *d)
			if err != nil {
				bad = append(bad, err)
				continue
			}
			for _, w := range read.Warnings {
				note(c.ErrOrStderr(), "%s: %s", out.Safe(read.Source), out.Safe(w))
			}
			rows = append(rows, read)
		}
		if len(rows) > 0 {
			if err := out.Print(o.printer(c), documentColumns, rows); err != nil {
				return err
			}
			noteUncovered(c, inv, rows)
		}
		return errors.Join(bad...)
	}
	return c
}

// noteUncovered tells which documents declare nothing that was seen.
func noteUncovered(c *cobra.Command, inv api.Inventory, docs []spec.Document) {
	services, _, err := inv.Services(c.Context(), inventory.Query{})
	if err != nil {
		return // the caller tells of a server that is gone
	}
	for i := range docs {
		d := &docs[i]
		if !slices.ContainsFunc(services, func(s inventory.Service) bool { return d.Covers(s.Service, s.Hosts) }) {
			who := "a service " + d.Service
			if d.Service == "" {
				who = "a service that answers to " + strings.Join(d.Hosts, " or ")
			}
			note(c.ErrOrStderr(), "%s: no call to %s was seen yet: `gnomon apis` lists those that there are", out.Safe(d.Source), out.Safe(who))
		}
	}
}

func newSpecListCmd() *cobra.Command {
	var src source
	var o outputFlag
	var service string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the declared APIs",
		Example: "  gnomon spec list\n  gnomon spec list --store shop.db -o json",
		Args:    cobra.NoArgs,
	}
	src.add(c.Flags())
	o.add(c)
	c.Flags().StringVar(&service, "service", "", "of this `SERVICE` only, or of those that begin so when it ends in *")
	c.RunE = func(c *cobra.Command, _ []string) error {
		inv, done, err := src.open(c.Context())
		if err != nil {
			return err
		}
		defer done()
		rows, err := inv.Documents(c.Context(), service)
		if err != nil {
			return err
		}
		return out.Print(o.printer(c), documentColumns, rows)
	}
	return c
}

// declaredOperation is a row of `gnomon spec show`.
type declaredOperation struct {
	Method     string `json:"method"`
	Template   string `json:"template"`
	Operation  string `json:"operation,omitempty"`
	Deprecated bool   `json:"deprecated,omitempty"`
	Sunset     string `json:"sunset,omitempty"`
	Summary    string `json:"summary,omitempty"`
}

type declaredWhole struct {
	spec.Document
	List []declaredOperation `json:"operation_list"`
}

var operationColumns = []out.Column[declaredOperation]{
	{Name: "METHOD", Value: func(o *declaredOperation) string { return o.Method }},
	{Name: "TEMPLATE", Flex: true, Value: func(o *declaredOperation) string { return o.Template }},
	{Name: "OPERATION", Flex: true, Rank: 1, Value: func(o *declaredOperation) string { return o.Operation }},
	{Name: "DEPRECATED", Value: func(o *declaredOperation) string {
		if o.Deprecated {
			return strings.TrimSpace("yes " + o.Sunset)
		}
		return o.Sunset
	}},
	{Name: "SUMMARY", Wide: true, Value: func(o *declaredOperation) string { return o.Summary }},
}

func newSpecShowCmd() *cobra.Command {
	var src source
	var o outputFlag
	var text bool
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "Show a declared API",
		Long:    "Shows the operations of a declared API, by its id or the beginning of it; --text prints the document as it was imported.",
		Example: "  gnomon spec show 3f9a1c04b7d2\n  gnomon spec show 3f9a --text > openapi.yaml",
		Args:    cobra.ExactArgs(1),
	}
	src.add(c.Flags())
	o.add(c)
	c.Flags().BoolVar(&text, "text", false, "the document as it was imported")
	c.RunE = func(c *cobra.Command, args []string) error {
		inv, done, err := src.open(c.Context())
		if err != nil {
			return err
		}
		defer done()
		d, err := inv.Document(c.Context(), args[0])
		if err != nil {
			return err
		}
		if text {
			_, err := c.OutOrStdout().Write(d.Raw)
			return err
		}
		read, err := load.Config{MaxBytes: int64(len(d.Raw)) + 1}.Parse(d.Source, d.Raw)
		if err != nil {
			return err
		}
		whole := declaredWhole{Document: d, List: []declaredOperation{}}
		base := ""
		if len(read.Bases) > 0 {
			base = read.Bases[0]
		}
		for i := range read.Ops {
			op := &read.Ops[i]
			whole.List = append(whole.List, declaredOperation{op.Method, base + op.Path, op.ID, op.Deprecated, op.Sunset, op.Summary})
		}
		p := o.printer(c)
		if p.Format == "json" || p.Format == "jsonl" {
			return out.One(p, nil, &whole, nil)
		}
		return out.Print(p, operationColumns, whole.List)
	}
	return c
}

func newSpecRemoveCmd() *cobra.Command {
	var src source
	c := &cobra.Command{
		Use:     "rm ID...",
		Short:   "Forget declared APIs",
		Example: "  gnomon spec rm 3f9a1c04b7d2",
		Args:    cobra.MinimumNArgs(1),
	}
	src.add(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		inv, done, err := src.openWriter(c.Context())
		if err != nil {
			return err
		}
		defer done()
		for _, id := range args {
			d, err := inv.Remove(c.Context(), id)
			if err != nil {
				return err
			}
			note(c.ErrOrStderr(), "forgotten: %s %s (%s)", out.Safe(d.Title), out.Safe(d.Version), d.ID)
		}
		return nil
	}
	return c
}

var changeColumns = []out.Column[changes.Change]{
	{Name: "LEVEL", Value: func(c *changes.Change) string { return string(c.Level) }, Style: func(c *changes.Change) out.Style {
		switch c.Level {
		case changes.Breaking:
			return out.Red
		case changes.Warning:
			return out.Yellow
		}
		return out.Plain
	}},
	{Name: "METHOD", Value: func(c *changes.Change) string { return c.Method }},
	{Name: "TEMPLATE", Flex: true, Value: func(c *changes.Change) string { return c.Template }},
	{Name: "KIND", Wide: true, Value: func(c *changes.Change) string { return c.Kind }},
	{Name: "CHANGE", Flex: true, Value: func(c *changes.Change) string { return c.Message }},
}

func newSpecDiffCmd() *cobra.Command {
	var src source
	var o outputFlag
	var l limits
	var failOn []string
	levels := []string{string(changes.Breaking), string(changes.Warning), string(changes.Info)}
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "List what changed between two versions of a declared API",
		Long: `Lists what changed from one document to another, and what breaks callers. Each is a file, a URL, or the id of a declared API.
With --fail-on the exit code is 3 when there is a change of such a level.`,
		Example: "  gnomon spec diff v1.yaml v2.yaml --fail-on breaking\n  gnomon spec diff 3f9a1c04b7d2 openapi.yaml -o json",
		Args:    cobra.ExactArgs(2),
	}
	src.add(c.Flags())
	o.add(c)
	l.add(c.Flags())
	c.Flags().StringSliceVar(&failOn, "fail-on", nil, "exit with 3 when there are changes of these `LEVELS`: "+strings.Join(levels, ", "))
	words(c, "fail-on", levels)
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, f := range failOn {
			if !slices.Contains(levels, f) {
				return usageError{fmt.Errorf("--fail-on %q: want some of %s", f, strings.Join(levels, ", "))}
			}
		}
		var docs [2]*spec.Document
		for i, name := range args {
			d, err := anyDocument(c.Context(), &src, &l, name)
			if err != nil {
				return err
			}
			docs[i] = d
		}
		rows, err := changes.Between(l.Config, docs[0], docs[1])
		if err != nil {
			return err
		}
		if err := out.Print(o.printer(c), changeColumns, rows); err != nil {
			return err
		}
		for _, r := range rows {
			if slices.Contains(failOn, string(r.Level)) {
				return errGate
			}
		}
		return nil
	}
	return c
}

// anyDocument is the document of a file or URL, else the declared one with that id.
func anyDocument(ctx context.Context, src *source, l *limits, name string) (*spec.Document, error) {
	_, err := os.Stat(name)
	if u, bad := url.Parse(name); err == nil || bad == nil && u.Host != "" {
		docs, err := l.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(docs) != 1 {
			return nil, fmt.Errorf("%s: %d documents: name one of them", name, len(docs))
		}
		return docs[0], nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if !looksLikeID(name) {
		return nil, fmt.Errorf("%s: no such file, and no id of a declared API: see `gnomon spec list`", name)
	}
	inv, done, err := src.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s is no file, so it would be the id of a declared API: %w", name, err)
	}
	defer done()
	d, err := inv.Document(ctx, name)
	if err != nil {
		return nil, err
	}
	return l.Parse(d.Source, d.Raw)
}

func looksLikeID(s string) bool {
	return len(s) >= 2 && len(s) <= 12 && strings.Trim(s, "0123456789abcdef") == ""
}
