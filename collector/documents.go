package collector

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// loadDocuments declares what the store keeps. One that cannot be read any more is left out and told.
func (c *Collector) loadDocuments(ctx context.Context) error {
	kept, err := c.st.Documents(ctx)
	if err != nil {
		return err
	}
	docs := make([]*spec.Document, 0, len(kept))
	for i := range kept {
		k := &kept[i]
		d, err := c.cfg.Documents.Parse(k.Source, k.Raw)
		if err != nil {
			c.cfg.Log.Warn("a declared API cannot be read any more: import it again", "document", k.ID, "source", k.Source, "error", err)
			continue
		}
		d.ID, d.Service, d.Source, d.Imported = k.ID, k.Service, k.Source, k.Imported
		docs = append(docs, d)
	}
	c.cat.Declare(docs)
	return nil
}

// Import declares what d.Raw says for d.Service, in place of the document of that service with the same title and version. Of d it takes
// Raw, Service, Source and Imported; the result is the document as it was read.
func (c *Collector) Import(ctx context.Context, d spec.Document) (spec.Document, error) {
	read, err := c.cfg.Documents.Parse(d.Source, d.Raw)
	if err != nil {
		return spec.Document{}, err
	}
	read.Service, read.Source, read.Imported = d.Service, d.Source, d.Imported
	if read.Service == "" && len(read.Hosts) == 0 {
		return spec.Document{}, fmt.Errorf("%s names no server: %w", d.Source, spec.ErrNoService)
	}
	read.Assign()
	c.documents.Lock()
	defer c.documents.Unlock()
	if c.st != nil {
		if err := c.st.PutDocument(ctx, read); err != nil {
			return spec.Document{}, err
		}
	}
	docs := slices.DeleteFunc(slices.Clone(c.cat.Documents()), func(o *spec.Document) bool {
		return o.ID == read.ID || o.Service == read.Service && o.Title == read.Title && o.Version == read.Version
	})
	c.cat.Declare(append(docs, read))
	return *read, nil
}

// Documents answers `gnomon spec list`: those of the services that match, in order of service, title and version.
func (c *Collector) Documents(_ context.Context, service string) ([]spec.Document, error) {
	list := []spec.Document{}
	for _, d := range c.cat.Documents() {
		if p, ok := strings.CutSuffix(service, "*"); service == "" || d.Service == service || ok && strings.HasPrefix(d.Service, p) {
			list = append(list, *d)
		}
	}
	slices.SortFunc(list, spec.CompareDocuments)
	return list, nil
}

// Document answers `gnomon spec show`: the one with the id, or with a unique beginning of it.
func (c *Collector) Document(_ context.Context, id string) (spec.Document, error) {
	d, err := c.find(id)
	if err != nil {
		return spec.Document{}, err
	}
	return *d, nil
}

func (c *Collector) find(id string) (*spec.Document, error) {
	var found *spec.Document
	for _, d := range c.cat.Documents() {
		if d.ID == id {
			return d, nil
		}
		if id != "" && strings.HasPrefix(d.ID, id) {
			if found != nil {
				return nil, fmt.Errorf("%.60q: %w: several begin so, give more of the id", id, spec.ErrNotFound)
			}
			found = d
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%.60q: %w: see `gnomon spec list`", id, spec.ErrNotFound)
	}
	return found, nil
}

// Remove answers `gnomon spec rm`: the document is forgotten, and what it was returned.
func (c *Collector) Remove(ctx context.Context, id string) (spec.Document, error) {
	c.documents.Lock()
	defer c.documents.Unlock()
	d, err := c.find(id)
	if err != nil {
		return spec.Document{}, err
	}
	if c.st != nil {
		if err := c.st.DropDocument(ctx, d.ID); err != nil {
			return spec.Document{}, err
		}
	}
	c.cat.Declare(slices.DeleteFunc(slices.Clone(c.cat.Documents()), func(o *spec.Document) bool { return o.ID == d.ID }))
	return *d, nil
}

// Drift answers `gnomon drift`.
func (c *Collector) Drift(_ context.Context, service string) ([]spec.Drift, error) {
	return c.cat.Drift(service), nil
}

// Observed answers `gnomon export`.
func (c *Collector) Observed(_ context.Context, service string) ([]observe.Service, error) {
	return c.cat.Observed(service), nil
}
