package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/agent/source/live"
	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
)

// diagnosis is what `gnomon doctor` found, as JSON.
type diagnosis struct {
	Kernel  string    `json:"kernel"`
	Arch    string    `json:"arch"`
	Works   bool      `json:"works"`
	Backend string    `json:"backend,omitempty"`
	Why     string    `json:"why"`
	Checks  []finding `json:"checks"`
	Misses  []miss    `json:"misses"`
}

type finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Needed bool   `json:"needed"`
	Detail string `json:"detail,omitempty"`
	Next   string `json:"next,omitempty"`
}

type miss struct {
	Kind   string `json:"kind"`
	Detail string `json:"detail,omitempty"`
	Next   string `json:"next,omitempty"`
}

func (f *finding) word() string {
	switch {
	case f.OK:
		return "ok"
	case f.Needed:
		return "missing"
	}
	return "lacking"
}

var findingColumns = []out.Column[finding]{
	{Name: "CHECK", Value: func(f *finding) string { return f.Name }},
	{Name: "RESULT", Value: func(f *finding) string { return f.word() }, Style: func(f *finding) out.Style {
		switch {
		case f.OK:
			return out.Green
		case f.Needed:
			return out.Red
		}
		return out.Yellow
	}},
	{Name: "FOUND", Flex: true, Value: func(f *finding) string { return f.Detail }},
	{Name: "NEXT", Flex: true, Value: func(f *finding) string { return f.Next }},
}

// errCannotCapture ends doctor with 1 where nothing works: a script can ask before it installs.
var errCannotCapture = errors.New("live capture does not work here: see what is missing above; recordings can be read everywhere with `gnomon replay`")

func newDoctorCmd() *cobra.Command {
	var o outputFlag
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this kernel lets the sensor see",
		Long: `Loads and attaches each way of capturing on this kernel for a moment, and says which one "gnomon run" would take and why, what it
will therefore miss, and what to do about it. Exits with 1 where none works.`,
		Example: "  sudo gnomon doctor\n  sudo gnomon doctor -o json",
		Args:    cobra.NoArgs,
	}
	o.add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		d := diagnose(live.Probe())
		p := o.printer(c)
		var err error
		if p.Format == "csv" {
			err = out.Print(p, findingColumns, d.Checks)
		} else {
			err = out.One(p, nil, &d, func(p *out.Printer) error { return doctorPeople(p, &d) })
		}
		if err != nil {
			return err
		}
		if !d.Works {
			return errCannotCapture
		}
		return nil
	}
	return c
}

func diagnose(r live.Report) diagnosis {
	d := diagnosis{Kernel: r.Kernel, Arch: r.Arch, Why: r.Why, Works: r.Backend != live.Auto, Checks: []finding{}, Misses: []miss{}}
	if d.Works {
		d.Backend = r.Backend.String()
	}
	for _, x := range r.Checks {
		d.Checks = append(d.Checks, finding(x))
	}
	for _, x := range r.Misses {
		d.Misses = append(d.Misses, miss{x.Kind, x.Detail, x.Next})
	}
	return d
}

func doctorPeople(p *out.Printer, d *diagnosis) error {
	var b strings.Builder
	fmt.Fprintf(&b, "kernel   %s (%s)\n", out.Safe(d.Kernel), d.Arch)
	if d.Works {
		fmt.Fprintf(&b, "backend  %s: %s\n\n", d.Backend, out.Safe(d.Why))
	} else {
		fmt.Fprintf(&b, "backend  none: %s\n\n", out.Safe(d.Why))
	}
	if _, err := p.W.Write([]byte(b.String())); err != nil {
		return err
	}
	if err := out.Print(p, findingColumns, d.Checks); err != nil {
		return err
	}
	b.Reset()
	if len(d.Misses) > 0 {
		b.WriteString("\nit will miss:\n")
	}
	for _, m := range d.Misses {
		fmt.Fprintf(&b, "  %-12s %s\n", out.Safe(m.Kind), out.Safe(m.Detail))
		if m.Next != "" {
			fmt.Fprintf(&b, "  %-12s do: %s\n", "", out.Safe(m.Next))
		}
	}
	_, err := p.W.Write([]byte(b.String()))
	return err
}
