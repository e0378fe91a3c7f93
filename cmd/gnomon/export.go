package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gnomon-sensor/gnomon/cmd/internal/out"
	"github.com/gnomon-sensor/gnomon/collector/api"
	"github.com/gnomon-sensor/gnomon/inventory/spec/export"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

func newExportCmd() *cobra.Command {
	c := &cobra.Command{
		Use:     "export",
		Short:   "Write what was observed in other tools' forms",
		Example: "  gnomon export openapi --service nginx.service:80 > openapi.yaml\n  gnomon export postman --service nginx.service:80 > collection.json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newExportOpenAPICmd(), newExportPostmanCmd())
	return c
}

// oneService is the observed service that is asked for, or the only one there is.
func oneService(c *cobra.Command, inv api.Inventory, service string) (*observe.Service, error) {
	list, err := inv.Observed(c.Context(), service)
	if err != nil {
		return nil, err
	}
	switch len(list) {
	case 0:
		if service == "" {
			return nil, fmt.Errorf("no service was seen yet: start `gnomon run`, or read a recording with `gnomon replay --store`")
		}
		return nil, fmt.Errorf("no service %q was seen: `gnomon apis` lists them", service)
	case 1:
		return &list[0], nil
	}
	names := make([]string, len(list))
	for i := range list {
		names[i] = list[i].Service
	}
	if len(names) > 8 {
		names = append(names[:8], "…")
	}
	return nil, usageError{fmt.Errorf("several services: say which with --service: %s", strings.Join(names, ", "))}
}

func exportFlags(c *cobra.Command, src *source, cfg *export.Config, service *string) {
	f := c.Flags()
	src.add(f)
	f.StringVar(service, "service", "", "the `SERVICE`, as `gnomon apis` names it")
	f.StringVar(&cfg.Title, "title", "", "`TITLE` of the document (default: the service)")
	f.BoolVar(&cfg.Probes, "probes", false, "with endpoints that only health checks and metric scrapes call")
}

func newExportOpenAPICmd() *cobra.Command {
	var src source
	var cfg export.Config
	var service, format string
	c := &cobra.Command{
		Use:   "openapi",
		Short: "Write an OpenAPI 3.1 document of what was observed of a service",
		Long: `Writes an OpenAPI 3.1 document of what was observed: paths, parameters, bodies and answers with their types, and how callers
authenticate. It is sorted and changes only when the API does, so that it can be kept under version control. All examples are
made up. Something is called required when it was there in each of several accepted calls.`,
		Example: "  gnomon export openapi --service nginx.service:80 > openapi.yaml\n  gnomon export openapi --service shop --store shop.db --format json --evidence",
		Args:    cobra.NoArgs,
	}
	exportFlags(c, &src, &cfg, &service)
	f := c.Flags()
	f.StringVar(&format, "format", "yaml", "yaml or json")
	f.StringVar(&cfg.Version, "api-version", "", "`VERSION` of the API (default: observed)")
	f.BoolVar(&cfg.Evidence, "evidence", false, "with how often and when each operation was called, as x-gnomon- fields")
	words(c, "format", []string{"yaml", "json"})
	c.RunE = func(c *cobra.Command, _ []string) error {
		if format != "yaml" && format != "json" {
			return usageError{fmt.Errorf("--format %q: want yaml or json", format)}
		}
		inv, done, err := src.open(c.Context())
		if err != nil {
			return err
		}
		defer done()
		svc, err := oneService(c, inv, service)
		if err != nil {
			return err
		}
		d := cfg.OpenAPI(svc)
		text := d.YAML
		if format == "json" {
			text = d.JSON
		}
		return writeDocument(c, d, text)
	}
	return c
}

func newExportPostmanCmd() *cobra.Command {
	var src source
	var cfg export.Config
	var service string
	c := &cobra.Command{
		Use:     "postman",
		Short:   "Write a Postman collection of what was observed of a service",
		Long:    "Writes a Postman collection (format 2.1) with a request for each observed operation. All values are made up; the server and credentials are variables.",
		Example: "  gnomon export postman --service nginx.service:80 > collection.json",
		Args:    cobra.NoArgs,
	}
	exportFlags(c, &src, &cfg, &service)
	c.RunE = func(c *cobra.Command, _ []string) error {
		inv, done, err := src.open(c.Context())
		if err != nil {
			return err
		}
		defer done()
		svc, err := oneService(c, inv, service)
		if err != nil {
			return err
		}
		d := cfg.Postman(svc)
		return writeDocument(c, d, d.JSON)
	}
	return c
}

func writeDocument(c *cobra.Command, d *export.Document, text func() ([]byte, error)) error {
	b, err := text()
	if err != nil {
		return err
	}
	for _, o := range d.Omitted {
		note(c.ErrOrStderr(), "left out: %s", out.Safe(o))
	}
	_, err = c.OutOrStdout().Write(b)
	return err
}
