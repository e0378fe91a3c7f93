package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/gnomon-sensor/gnomon/inventory/spec"
	"github.com/gnomon-sensor/gnomon/inventory/spec/load"
	"github.com/gnomon-sensor/gnomon/inventory/spec/observe"
)

// Documents is what is served of declared APIs; Inventory holds it.
type Documents interface {
	Documents(ctx context.Context, service string) ([]spec.Document, error)
	Document(ctx context.Context, id string) (spec.Document, error)
	// Import declares d.Raw for d.Service; of d it takes Source and Imported too.
	Import(ctx context.Context, d spec.Document) (spec.Document, error)
	Remove(ctx context.Context, id string) (spec.Document, error)
	Drift(ctx context.Context, service string) ([]spec.Drift, error)
	Observed(ctx context.Context, service string) ([]observe.Service, error)
}

type (
	// DocumentsPage holds declared documents.
	DocumentsPage struct {
		Documents []spec.Document `json:"documents"`
	}
	// DocumentText is a declared document with its text.
	DocumentText struct {
		spec.Document
		Text []byte `json:"text"`
	}
	// DriftPage holds the differences between what is declared and what was observed.
	DriftPage struct {
		Drift []spec.Drift `json:"drift"`
	}
	// ObservedPage holds what was seen of the contracts of services.
	ObservedPage struct {
		Services []observe.Service `json:"services"`
	}
)

// maxDocument bounds the text of a document in a request.
const maxDocument = 40 << 20

func (s *server) documents(w http.ResponseWriter, r *http.Request) error {
	q, _, err := query(r, "service")
	if err != nil {
		return err
	}
	list, err := s.inv.Documents(r.Context(), q.Service)
	if err != nil {
		return err
	}
	return reply(w, DocumentsPage{list})
}

func (s *server) document(w http.ResponseWriter, r *http.Request) error {
	if _, _, err := query(r, "id"); err != nil {
		return err
	}
	d, err := s.inv.Document(r.Context(), r.URL.Query().Get("id"))
	if err != nil {
		return err
	}
	return reply(w, DocumentText{d, d.Raw})
}

func (s *server) importDocument(w http.ResponseWriter, r *http.Request) error {
	q, _, err := query(r, "service", "source", "imported")
	if err != nil {
		return err
	}
	d := spec.Document{Service: q.Service, Source: r.URL.Query().Get("source")}
	if d.Source == "" {
		d.Source = "document"
	}
	if at := r.URL.Query().Get("imported"); at != "" {
		t, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return badRequest{fmt.Errorf("parameter imported %.40q: want an RFC 3339 time", at)}
		}
		d.Imported = event.TimeOf(t)
	}
	if d.Raw, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxDocument)); err != nil {
		return badRequest{fmt.Errorf("read the document: %w", err)}
	}
	read, err := s.inv.Import(r.Context(), d)
	var bad *load.Error
	if errors.As(err, &bad) || errors.Is(err, load.ErrNotADocument) || errors.Is(err, spec.ErrNoService) {
		return badRequest{err}
	}
	if err != nil {
		return err
	}
	return reply(w, read)
}

func (s *server) removeDocument(w http.ResponseWriter, r *http.Request) error {
	if _, _, err := query(r, "id"); err != nil {
		return err
	}
	d, err := s.inv.Remove(r.Context(), r.URL.Query().Get("id"))
	if err != nil {
		return err
	}
	return reply(w, d)
}

func (s *server) drift(w http.ResponseWriter, r *http.Request) error {
	q, _, err := query(r, "service")
	if err != nil {
		return err
	}
	list, err := s.inv.Drift(r.Context(), q.Service)
	if err != nil {
		return err
	}
	return reply(w, DriftPage{list})
}

func (s *server) observed(w http.ResponseWriter, r *http.Request) error {
	q, _, err := query(r, "service")
	if err != nil {
		return err
	}
	list, err := s.inv.Observed(r.Context(), q.Service)
	if err != nil {
		return err
	}
	return reply(w, ObservedPage{list})
}

// Documents asks for the declared documents.
func (c *Client) Documents(ctx context.Context, service string) ([]spec.Document, error) {
	var p DocumentsPage
	err := c.get(ctx, "/v1/documents", serviceValue(service), &p)
	return p.Documents, err
}

func serviceValue(service string) url.Values {
	v := url.Values{}
	if service != "" {
		v.Set("service", service)
	}
	return v
}

// Document asks for one document with its text.
func (c *Client) Document(ctx context.Context, id string) (spec.Document, error) {
	var t DocumentText
	err := c.get(ctx, "/v1/document", url.Values{"id": {id}}, &t)
	t.Document.Raw = t.Text
	return t.Document, err
}

// Import sends a document.
func (c *Client) Import(ctx context.Context, d spec.Document) (read spec.Document, err error) {
	v := serviceValue(d.Service)
	v.Set("source", d.Source)
	if d.Imported != 0 {
		v.Set("imported", d.Imported.String())
	}
	res, err := c.send(ctx, http.MethodPost, "/v1/documents", v, bytes.NewReader(d.Raw))
	if err != nil {
		return read, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&read); err != nil {
		return read, fmt.Errorf("answer of %s: %w", c.URL, err)
	}
	return read, nil
}

// Remove asks for a document to be forgotten, and returns it without its text.
func (c *Client) Remove(ctx context.Context, id string) (d spec.Document, err error) {
	res, err := c.send(ctx, http.MethodDelete, "/v1/document", url.Values{"id": {id}}, nil)
	if err != nil {
		return d, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&d); err != nil {
		return d, fmt.Errorf("answer of %s: %w", c.URL, err)
	}
	return d, nil
}

// Drift asks for the differences between what is declared and what was observed.
func (c *Client) Drift(ctx context.Context, service string) ([]spec.Drift, error) {
	var p DriftPage
	err := c.get(ctx, "/v1/drift", serviceValue(service), &p)
	return p.Drift, err
}

// Observed asks for what was seen of the contracts of services.
func (c *Client) Observed(ctx context.Context, service string) ([]observe.Service, error) {
	var p ObservedPage
	err := c.get(ctx, "/v1/observed", serviceValue(service), &p)
	return p.Services, err
}
