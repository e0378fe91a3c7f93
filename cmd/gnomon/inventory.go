package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
	"github.com/gnomon-sensor/gnomon/collector/api"
	"github.com/gnomon-sensor/gnomon/inventory"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/store"
)

func when(t event.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Std().Format("2006-01-02T15:04:05Z")
}

func count[T int | uint64](n T) string { return strconv.FormatUint(uint64(n), 10) }

func list(l []string) string { return strings.Join(l, " ") }

func duration(ns int64) string {
	if ns == 0 {
		return ""
	}
	d := time.Duration(ns)
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

func riskStyle(s *inventory.Service) out.Style {
	switch s.Risk {
	case "high":
		return out.Red
	case "medium":
		return out.Yellow
	}
	return out.Plain
}

var serviceColumns = []out.Column[inventory.Service]{
	{Name: "SERVICE", Flex: true, Value: func(s *inventory.Service) string { return s.Service }},
	{Name: "WORKLOAD", Wide: true, Value: func(s *inventory.Service) string { return s.Workload }},
	{Name: "PROCESS", Wide: true, Value: func(s *inventory.Service) string { return s.Process }},
	{Name: "HOSTS", Wide: true, Value: func(s *inventory.Service) string { return list(s.Hosts) }},
	{Name: "ENDPOINTS", Right: true, Value: func(s *inventory.Service) string { return count(s.Endpoints) }},
	{Name: "ATTEMPTED", Right: true, Wide: true, Value: func(s *inventory.Service) string { return count(s.Attempted) }},
	{Name: "CALLS", Right: true, Value: func(s *inventory.Service) string { return count(s.Calls) }},
	{Name: "PROBES", Right: true, Wide: true, Value: func(s *inventory.Service) string { return count(s.Probes) }},
	{Name: "ERRORS", Right: true, Wide: true, Value: func(s *inventory.Service) string { return count(s.Errors) }},
	{Name: "CALLERS", Right: true, Rank: 2, Value: func(s *inventory.Service) string { return count(s.Callers) }},
	{Name: "UNDECLARED", Right: true, Wide: true, Value: func(s *inventory.Service) string { return count(s.Undeclared) }},
	{Name: "SHADOW", Right: true, Rank: 5, Value: func(s *inventory.Service) string { return count(s.Shadow) }},
	{Name: "ZOMBIE", Right: true, Rank: 6, Value: func(s *inventory.Service) string { return count(s.Zombie) }},
	{Name: "ORPHAN", Right: true, Rank: 7, Value: func(s *inventory.Service) string { return count(s.Orphan) }},
	{Name: "AUTH", Rank: 3, Flex: true, Value: func(s *inventory.Service) string { return list(s.Auth) }},
	{Name: "ENCRYPTION", Rank: 4, Value: func(s *inventory.Service) string { return list(s.Encryption) }},
	{Name: "PROTOCOLS", Wide: true, Value: func(s *inventory.Service) string { return list(s.Protocols) }},
	{Name: "DATA", Rank: 1, Flex: true, Value: func(s *inventory.Service) string { return list(s.Data) }},
	{Name: "RISK", Value: func(s *inventory.Service) string { return s.Risk }, Style: riskStyle},
	{Name: "REASONS", Wide: true, Value: func(s *inventory.Service) string { return strings.Join(s.Reasons, "; ") }},
	{Name: "FIRST SEEN", Wide: true, Value: func(s *inventory.Service) string { return when(s.FirstSeen) }},
	{Name: "LAST SEEN", Rank: 8, Value: func(s *inventory.Service) string { return when(s.LastSeen) }},
}

// statuses is "200:17 404:2", the most frequent first.
func statuses(e *inventory.Endpoint) string {
	type pair struct {
		status string
		n      uint64
	}
	var all []pair
	for s, n := range e.Statuses {
		all = append(all, pair{s, n})
	}
	slices.SortFunc(all, func(a, b pair) int { return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.status, b.status)) })
	words := make([]string, len(all))
	for i, p := range all {
		words[i] = p.status + ":" + count(p.n)
	}
	return list(words)
}

func tierStyle(e *inventory.Endpoint) out.Style {
	if e.Tier == inventory.Attempted {
		return out.Dim
	}
	return out.Plain
}

var endpointColumns = []out.Column[inventory.Endpoint]{
	{Name: "ID", Rank: 6, Value: func(e *inventory.Endpoint) string { return e.ID }},
	{Name: "SERVICE", Flex: true, Value: func(e *inventory.Endpoint) string { return e.Service }},
	{Name: "METHOD", Value: func(e *inventory.Endpoint) string { return e.Method }},
	{Name: "HOST", Rank: 7, Flex: true, Value: func(e *inventory.Endpoint) string { return e.Host }},
	{Name: "TEMPLATE", Flex: true, Value: func(e *inventory.Endpoint) string { return e.Template }},
	{Name: "OPERATION", Wide: true, Value: func(e *inventory.Endpoint) string { return e.Operation }},
	{Name: "TIER", Rank: 2, Value: func(e *inventory.Endpoint) string { return e.Tier.String() }, Style: tierStyle},
	{Name: "STATE", Wide: true, Value: func(e *inventory.Endpoint) string { return e.State }},
	{Name: "CALLS", Right: true, Value: func(e *inventory.Endpoint) string { return count(e.Calls) }},
	{Name: "PROBES", Right: true, Wide: true, Value: func(e *inventory.Endpoint) string { return count(e.Probes) }},
	{Name: "STATUSES", Flex: true, Value: statuses},
	{Name: "CALLERS", Right: true, Rank: 1, Value: func(e *inventory.Endpoint) string { return count(e.Callers) }},
	{Name: "AUTH", Rank: 3, Flex: true, Value: func(e *inventory.Endpoint) string { return list(e.Auth) }},
	{Name: "ENCRYPTION", Rank: 5, Value: func(e *inventory.Endpoint) string { return list(e.Encryption) }},
	{Name: "PROTOCOLS", Wide: true, Value: func(e *inventory.Endpoint) string { return list(e.Protocols) }},
	{Name: "DATA", Rank: 4, Flex: true, Value: func(e *inventory.Endpoint) string { return list(e.Data) }},
	{Name: "SIGNS", Wide: true, Value: func(e *inventory.Endpoint) string { return list(e.Signs) }},
	{Name: "P50", Right: true, Wide: true, Value: func(e *inventory.Endpoint) string { return duration(e.P50) }},
	{Name: "P95", Right: true, Wide: true, Value: func(e *inventory.Endpoint) string { return duration(e.P95) }},
	{Name: "FIRST SEEN", Rank: 8, Value: func(e *inventory.Endpoint) string { return when(e.FirstSeen) }},
	{Name: "LAST SEEN", Rank: 9, Value: func(e *inventory.Endpoint) string { return when(e.LastSeen) }},
}

func newAPIsCmd() *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:   "apis",
		Short: "List the services: one row each",
		Long: `One row per service, with its endpoints, callers, authentication, encryption, kinds of data and risk. The last line says
what was seen but not decoded, and why.`,
		Example: "  gnomon apis\n  gnomon apis --sort -calls --limit 10\n  gnomon apis --store gnomon.db -o json\n  gnomon apis --versions\n  gnomon apis --duplicates",
		Args:    cobra.NoArgs,
	}
	var sprawl sprawlOptions
	o.add(c, true)
	sprawl.add(c)
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
		if sprawl.asked() {
			return sprawl.print(c, o.output.printer(c), inv, o.service)
		}
		rows, total, err := inv.Services(c.Context(), q)
		if err != nil {
			return err
		}
		p := o.output.printer(c)
		if err := out.Print(p, serviceColumns, rows); err != nil {
			return err
		}
		return afterList(c, p, inv, len(rows), total)
	}
	return c
}

// afterList says how many rows a limit left out, and of services what was not decoded.
func afterList(c *cobra.Command, p *out.Printer, inv api.Inventory, rows, total int) error {
	if rows < total {
		note(c.ErrOrStderr(), "%d of %d shown", rows, total)
	}
	w := c.ErrOrStderr()
	if p.Format == "table" || p.Format == "wide" {
		w = p.W
	}
	sensors, err := inv.Sensors(c.Context())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", out.Safe(notDecoded(sensors)))
	return err
}

// decoded are the blind spots that cost detail of calls that were decoded; `gnomon sensors` shows them.
var decoded = []string{"fold_budget", "body_budget", "taken_over"}

// notDecoded says what the sensors saw and could not read, and why.
func notDecoded(sensors []event.Sensor) string {
	if len(sensors) == 0 {
		return "seen but not decoded: unknown, no sensor reported"
	}
	kinds := map[string]*event.BlindSpot{}
	var names []string
	var bytes uint64
	for i := range sensors {
		bytes += sensors[i].Ledger.Bytes.Lost["not_decoded"]
		for j := range sensors[i].BlindSpots {
			b := &sensors[i].BlindSpots[j]
			if b.Count == 0 && b.Bytes == 0 || slices.Contains(decoded, b.Kind) {
				continue
			}
			name := b.Kind
			if b.Detail != "" {
				name += " (" + b.Detail + ")"
			}
			if kinds[name] == nil {
				kinds[name] = &event.BlindSpot{}
				names = append(names, name)
			}
			kinds[name].Count += b.Count
			kinds[name].Bytes += b.Bytes
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(kinds[b].Count, kinds[a].Count), strings.Compare(a, b))
	})
	var parts []string
	for _, n := range names {
		part := n + ": " + count(kinds[n].Count)
		if kinds[n].Bytes > 0 {
			part += ", " + size(kinds[n].Bytes)
		}
		parts = append(parts, part)
	}
	if bytes > 0 {
		parts = append(parts, "of no known protocol: "+size(bytes))
	}
	if len(parts) == 0 {
		return "seen but not decoded: nothing"
	}
	return "seen but not decoded: " + strings.Join(parts, "; ")
}

func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return count(n) + " B"
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " " + units[i]
}

func newEndpointsCmd() *cobra.Command {
	var o listOptions
	var state string
	var probes bool
	var idle sinceFlag
	c := &cobra.Command{
		Use:   "endpoints",
		Short: "List the endpoints: one row each",
		Long: `One row per method and path template of each service. The tier says how sure it is that the endpoint exists: confirmed by an
answer below 400, failed (it answers, but only with errors), or attempted (nothing but silence, 404 and the like came back).
Endpoints that only health checks and metric scrapes call are left out unless --probes asks for them.`,
		Example: "  gnomon endpoints\n  gnomon endpoints --service nginx.service:80 --sort -calls\n  gnomon endpoints --since 1h -o jsonl\n  gnomon endpoints --store gnomon.db --state undeclared\n  gnomon endpoints --idle 30d",
		Args:    cobra.NoArgs,
	}
	o.add(c, true)
	c.Flags().StringVar(&state, "state", "", "in this `STATE` only: "+strings.Join(inventory.States, ", "))
	c.Flags().Var(&idle, "idle", "only those that nobody has called for so long, or since then: 30d, 12h, 2026-11-24")
	c.Flags().BoolVar(&probes, "probes", false, "with those that only health checks and metric scrapes call")
	words(c, "state", inventory.States)
	c.RunE = func(c *cobra.Command, _ []string) error {
		q, err := o.query()
		if err != nil {
			return err
		}
		q.State, q.Probes, q.Before = state, probes, idle.at
		if err := q.Check(); err != nil {
			return usageError{err}
		}
		inv, done, err := o.open(c.Context())
		if err != nil {
			return err
		}
		defer done()
		return printEndpoints(c, o.output.printer(c), inv, q)
	}
	return c
}

// printEndpoints prints what `gnomon endpoints` does; `gnomon replay` ends with it.
func printEndpoints(c *cobra.Command, p *out.Printer, inv api.Inventory, q inventory.Query) error {
	rows, total, err := inv.Endpoints(c.Context(), q)
	if err != nil {
		return err
	}
	if err := out.Print(p, endpointColumns, rows); err != nil {
		return err
	}
	if len(rows) < total {
		note(c.ErrOrStderr(), "%d of %d shown", len(rows), total)
	}
	return nil
}

func newShowCmd() *cobra.Command {
	var src source
	var o outputFlag
	var svc string
	c := &cobra.Command{
		Use:     "show ENDPOINT",
		Short:   "Show one endpoint whole",
		Long:    "Shows one endpoint by its id, or by method and template with a space between.",
		Example: "  gnomon show k3v9x2m5q7ra\n  gnomon show 'GET /orders/{orderId}' --service shop/orders:8080",
		Args:    cobra.ExactArgs(1),
	}
	src.add(c.Flags())
	o.add(c)
	c.Flags().StringVar(&svc, "service", "", "of this `SERVICE`, where several have such an endpoint")
	c.RunE = func(c *cobra.Command, args []string) error {
		inv, done, err := src.open(c.Context())
		if err != nil {
			return err
		}
		defer done()
		d, err := inv.Endpoint(c.Context(), args[0], svc)
		if err != nil {
			return fmt.Errorf("%w: `gnomon endpoints` lists them; say which with its id or with --service", err)
		}
		p := o.printer(c)
		if p.Format == "csv" {
			return out.Print(p, endpointColumns, []inventory.Endpoint{d.Endpoint})
		}
		return out.One(p, nil, &d, func(p *out.Printer) error { return showPeople(p, &d) })
	}
	return c
}

func showPeople(p *out.Printer, d *inventory.Detail) error {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-16s %s\n", name, out.Safe(value))
		}
	}
	title := d.Method + " " + d.Template
	if d.Operation != "" {
		title += " " + d.Operation
	}
	if p.Colour {
		fmt.Fprintf(&b, "%s%s\x1b[0m\n", out.Bold, out.Safe(title))
	} else {
		fmt.Fprintf(&b, "%s\n", out.Safe(title))
	}
	line("id", d.ID)
	line("service", d.Service)
	line("state", d.State)
	line("tier", d.Tier.String())
	line("calls", count(d.Calls))
	if d.Probes > 0 {
		line("probes", count(d.Probes))
	}
	line("statuses", statuses(&d.Endpoint))
	line("protocols", list(d.Protocols))
	line("first seen", when(d.FirstSeen))
	line("last seen", when(d.LastSeen))
	if d.P50 > 0 {
		line("latency", fmt.Sprintf("p50 %s  p95 %s  p99 %s", duration(d.P50), duration(d.P95), duration(d.P99)))
	}
	spread := func(s inventory.Spread) string {
		return fmt.Sprintf("p50 %s  p95 %s  max %s", size(uint64(s.P50)), size(uint64(s.P95)), size(uint64(s.Max)))
	}
	line("request size", spread(d.RequestSize))
	line("response size", spread(d.ResponseSize))
	if d.LostCalls > 0 {
		line("seen in part", fmt.Sprintf("%d calls, %s missing", d.LostCalls, size(d.LostBytes)))
	}
	counted := func(name string, l []inventory.Counted) {
		for i, x := range l {
			if i > 0 {
				name = ""
			}
			fmt.Fprintf(&b, "%-16s %10d  %s\n", name, x.Calls, out.Safe(x.Name))
		}
	}
	counted("hosts", d.Hosts)
	counted("callers", d.CallerList)
	counted("auth", d.AuthCalls)
	creds := make([]inventory.Counted, len(d.Credentials))
	for i, x := range d.Credentials {
		creds[i] = inventory.Counted{Name: strings.TrimSpace(x.Kind + " " + x.Credential), Calls: x.Calls}
	}
	counted("credentials", creds)
	counted("issuers", d.Issuers)
	counted("algorithms", d.Algorithms)
	counted("scopes", d.Scopes)
	if d.ExpiredTokens > 0 {
		line("expired tokens", count(d.ExpiredTokens))
	}
	counted("encryption", d.Encryptions)
	counted("request types", d.RequestTypes)
	counted("response types", d.ResponseTypes)
	placed := func(l []inventory.Placed) (c []inventory.Counted) {
		for _, x := range l {
			c = append(c, inventory.Counted{Name: strings.TrimSpace(x.Class + " " + x.At), Calls: x.Count})
		}
		return c
	}
	counted("request data", placed(d.RequestData))
	counted("response data", placed(d.ResponseData))
	for i, x := range d.Params {
		name := "parameters"
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(&b, "%-16s %10d  %s %s: %s, %d different\n", name, x.Calls, x.In, out.Safe(x.Name), x.Kind, x.Distinct)
	}
	for i, x := range d.Examples {
		name := "paths"
		if i > 0 {
			name = ""
		}
		fmt.Fprintf(&b, "%-16s %s\n", name, out.Safe(x))
	}
	if len(d.Signs) > 0 {
		line("hostile content", list(d.Signs))
	}
	_, err := p.W.Write([]byte(b.String()))
	return err
}

var callColumns = []out.Column[event.Call]{
	{Name: "TIME", Value: func(c *event.Call) string { return c.Time.Std().Format("2006-01-02T15:04:05.000Z") }},
	{Name: "ID", Wide: true, Value: func(c *event.Call) string { return c.ID }},
	{Name: "SERVICE", Flex: true, Value: func(c *event.Call) string { return c.Service }},
	{Name: "METHOD", Value: func(c *event.Call) string { return c.Method }},
	{Name: "HOST", Wide: true, Value: func(c *event.Call) string { return c.Host }},
	{Name: "TEMPLATE", Flex: true, Value: func(c *event.Call) string { return c.Template }},
	{Name: "STATUS", Right: true, Value: func(c *event.Call) string {
		if c.Status == 0 {
			return ""
		}
		return count(c.Status)
	}, Style: func(c *event.Call) out.Style {
		switch {
		case c.Status >= 500:
			return out.Red
		case c.Status >= 400:
			return out.Yellow
		}
		return out.Plain
	}},
	{Name: "DURATION", Right: true, Rank: 2, Value: func(c *event.Call) string { return duration(c.DurationNS) }},
	{Name: "CALLS", Right: true, Rank: 1, Value: func(c *event.Call) string { return count(c.Calls()) }},
	{Name: "STATE", Wide: true, Value: func(c *event.Call) string { return c.State.String() }},
	{Name: "REQUEST BYTES", Right: true, Wide: true, Value: func(c *event.Call) string { return strconv.FormatInt(c.RequestBytes, 10) }},
	{Name: "RESPONSE BYTES", Right: true, Wide: true, Value: func(c *event.Call) string { return strconv.FormatInt(c.ResponseBytes, 10) }},
	{Name: "CALLER", Flex: true, Rank: 3, Value: func(c *event.Call) string { return cmp.Or(c.Client.Workload, c.Client.Address) }},
	{Name: "AUTH", Rank: 4, Value: func(c *event.Call) string { return c.Auth.Kind.String() }},
	{Name: "ENCRYPTION", Rank: 5, Value: func(c *event.Call) string { return c.Encryption.String() }},
	{Name: "SIGNS", Wide: true, Value: func(c *event.Call) string { return list(c.Signs) }},
}

func newCallsCmd() *cobra.Command {
	var o listOptions
	var follow bool
	c := &cobra.Command{
		Use:   "calls",
		Short: "List recent calls, newest last",
		Long: `Recent calls, newest last. A row that stands for several alike calls says how many in CALLS; -o jsonl gives each as one object with all
that is known of it.`,
		Example: "  gnomon calls --limit 20\n  gnomon calls --follow\n  gnomon calls --service 'nginx*' --since 5m -o jsonl",
		Args:    cobra.NoArgs,
	}
	o.add(c, false)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new calls as they come")
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
		return printCalls(c.Context(), o.output.printer(c), inv, q, follow)
	}
	return c
}

func printCalls(ctx context.Context, p *out.Printer, inv api.Inventory, q inventory.Query, follow bool) error {
	limit := q.Limit
	if limit == 0 {
		limit = store.KeepCalls
	}
	recent, last, err := inv.Calls(ctx, q, 0, limit)
	if err != nil {
		return err
	}
	calls := make([]event.Call, len(recent))
	if p.Format != "json" && p.Format != "jsonl" {
		for i := range recent {
			if err := json.Unmarshal(recent[i].JSON, &calls[i]); err != nil {
				return fmt.Errorf("call %d of the answer: %w", i, err)
			}
		}
	}
	if !follow && (p.Format == "table" || p.Format == "wide") {
		return out.Print(p, callColumns, calls)
	}
	s := out.NewStream(p, callColumns)
	for i := range recent {
		if err := s.Row(&calls[i], recent[i].JSON); err != nil {
			return err
		}
	}
	if follow {
		err = inv.Follow(ctx, q, last, func(x store.Sequenced) error {
			var call event.Call
			if p.Format != "json" && p.Format != "jsonl" {
				if err := json.Unmarshal(x.JSON, &call); err != nil {
					return fmt.Errorf("call %d: %w", x.Seq, err)
				}
			}
			return s.Row(&call, x.JSON)
		})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return s.Close()
}

func account(a *event.Account) string {
	lost := uint64(0)
	var why []string
	for r := range a.Lost {
		lost += a.Lost[r]
		why = append(why, r)
	}
	slices.Sort(why)
	for i, r := range why {
		why[i] = r + " " + count(a.Lost[r])
	}
	s := fmt.Sprintf("%d = %d + %d", a.Captured, a.Delivered, lost)
	if len(why) > 0 {
		s += " (" + strings.Join(why, ", ") + ")"
	}
	if b := a.Balance(); b != 0 {
		s += fmt.Sprintf(", %d in flight", b)
	}
	return s
}

var sensorColumns = []out.Column[event.Sensor]{
	{Name: "NODE", Value: func(s *event.Sensor) string { return s.Node }},
	{Name: "STATE", Value: func(s *event.Sensor) string { return s.State }, Style: func(s *event.Sensor) out.Style {
		if s.State != "capturing" {
			return out.Yellow
		}
		return out.Green
	}},
	{Name: "KERNEL", Rank: 3, Value: func(s *event.Sensor) string { return s.Kernel }},
	{Name: "BACKEND", Value: func(s *event.Sensor) string { return s.Backend }},
	{Name: "VERSION", Wide: true, Value: func(s *event.Sensor) string { return s.Version }},
	{Name: "STARTED", Wide: true, Value: func(s *event.Sensor) string { return when(s.Started) }},
	{Name: "UPDATED", Rank: 2, Value: func(s *event.Sensor) string { return when(s.Updated) }},
	{Name: "CALLS = DELIVERED + LOST", Flex: true, Value: func(s *event.Sensor) string { return account(&s.Ledger.Calls) }},
	{Name: "BYTES", Flex: true, Value: func(s *event.Sensor) string { return account(&s.Ledger.Bytes) }},
	{Name: "CHUNKS", Wide: true, Value: func(s *event.Sensor) string { return account(&s.Ledger.Chunks) }},
	{Name: "BLIND SPOTS", Flex: true, Rank: 1, Value: func(s *event.Sensor) string {
		var words []string
		for _, b := range s.BlindSpots {
			w := b.Kind
			if b.Count > 0 {
				w += ":" + count(b.Count)
			}
			words = append(words, w)
		}
		return list(words)
	}},
}

func newSensorsCmd() *cobra.Command {
	var o listOptions
	c := &cobra.Command{
		Use:   "sensors",
		Short: "List the nodes, with what each sees and lost",
		Long: `One row per node: its state, kernel and backend, what it cannot see, and its loss ledger. In each unit captured = delivered + lost,
every number counted where it happens.`,
		Example: "  gnomon sensors\n  gnomon sensors -o json",
		Args:    cobra.NoArgs,
	}
	o.source.add(c.Flags())
	o.output.add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		inv, done, err := o.open(c.Context())
		if err != nil {
			return err
		}
		defer done()
		rows, err := inv.Sensors(c.Context())
		if err != nil {
			return err
		}
		return out.Print(o.output.printer(c), sensorColumns, rows)
	}
	return c
}
