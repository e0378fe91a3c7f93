package load

import (
	"errors"
	"regexp"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

var graphqlStart = regexp.MustCompile(`(?m)^(extend\s+)?(schema\s*[{@]|(type|interface|union|enum|input|scalar)\s+\w+\s*([{@=]|implements\b|$)|directive\s+@)`)

// looksLikeGraphQL says whether raw, of a file whose name does not tell, has a definition of a schema among its first lines.
func looksLikeGraphQL(raw []byte) bool {
	head := raw[:min(len(raw), 64<<10)]
	return graphqlStart.Match(head) && !strings.Contains(string(head), "openapi:") && head[0] != '{'
}

// graphql reads the schema definition language of the GraphQL specification, October 2021, section 3. Each field of the root
// types is an operation: "query orders".
func (s *source) graphql(raw []byte) (*spec.Document, error) {
	schema, err := parser.ParseSchemaWithLimit(&ast.Source{Name: s.name, Input: string(raw)}, s.cfg.MaxValues)
	if err != nil {
		return nil, s.gqlError(err)
	}
	roots := map[string]string{"Query": "query", "Mutation": "mutation", "Subscription": "subscription"}
	for _, def := range append(schema.Schema, schema.SchemaExtension...) {
		if len(def.OperationTypes) > 0 && len(schema.Schema) > 0 {
			roots = map[string]string{}
			break
		}
	}
	for _, def := range append(schema.Schema, schema.SchemaExtension...) {
		for _, o := range def.OperationTypes {
			roots[o.Type] = string(o.Operation)
		}
	}
	d := &spec.Document{Format: spec.GraphQL, Raw: raw, Title: "GraphQL " + s.cfg.GraphQLPath, Bases: []string{strings.TrimRight(s.cfg.GraphQLPath, "/")}}
	seen := map[string]bool{}
	for _, def := range append(schema.Definitions, schema.Extensions...) {
		kind := roots[def.Name]
		if kind == "" || def.Kind != ast.Object {
			continue
		}
		for _, f := range def.Fields {
			op := kind + " " + f.Name
			if seen[op] || strings.HasPrefix(f.Name, "__") {
				continue
			}
			seen[op] = true
			for _, method := range []string{"POST", "GET"} {
				d.Ops = append(d.Ops, spec.Operation{Method: method, ID: op, Selector: op, Opaque: true, Optional: method == "GET",
					Deprecated: f.Directives.ForName("deprecated") != nil})
			}
		}
	}
	if len(d.Ops) == 0 {
		return nil, s.fail(0, "a GraphQL schema without a query, mutation or subscription")
	}
	return d, nil
}

func (s *source) gqlError(err error) error {
	var g *gqlerror.Error
	if errors.As(err, &g) && len(g.Locations) > 0 {
		return s.fail(g.Locations[0].Line, "not GraphQL: %s", oneLine(g.Message))
	}
	return s.fail(0, "not GraphQL: %s", oneLine(err.Error()))
}
