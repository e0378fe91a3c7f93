package load

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/gnomon-sensor/gnomon/inventory/spec"
)

// protobuf reads a google.protobuf.FileDescriptorSet, as `protoc --descriptor_set_out` and `buf build` write it. Each method
// is the operation POST /package.Service/Method (gRPC over HTTP/2, "Requests"), and, where it has a google.api.http rule,
// what that says too.
func (s *source) protobuf(raw []byte) (*spec.Document, error) {
	var set descriptorpb.FileDescriptorSet
	if err := (proto.UnmarshalOptions{DiscardUnknown: false, RecursionLimit: s.cfg.MaxDepth}).Unmarshal(raw, &set); err != nil {
		return nil, s.fail(0, "not a protobuf FileDescriptorSet, nor text: %s", oneLine(err.Error()))
	}
	d := &spec.Document{Format: spec.Protobuf, Raw: raw}
	var titles []string
	for _, f := range set.File {
		for _, svc := range f.GetService() {
			full := svc.GetName()
			if f.GetPackage() != "" {
				full = f.GetPackage() + "." + full
			}
			titles = append(titles, full)
			for _, m := range svc.GetMethod() {
				o := spec.Operation{Method: "POST", Path: "/" + full + "/" + m.GetName(), ID: full + "/" + m.GetName(), Opaque: true,
					Deprecated: m.GetOptions().GetDeprecated() || svc.GetOptions().GetDeprecated()}
				d.Ops = append(d.Ops, o)
				for _, r := range httpRules(m.GetOptions().ProtoReflect().GetUnknown(), 0) {
					o.Method, o.Path, o.Optional = r.method, r.path, true
					d.Ops = append(d.Ops, o)
				}
			}
		}
	}
	if len(d.Ops) == 0 {
		return nil, s.fail(0, "a descriptor set without services: include them with --include_imports or name their files")
	}
	d.Title = titles[0]
	if len(titles) > 1 {
		d.Title += " and more"
	}
	return d, nil
}

type httpRule struct{ method, path string }

// Numbers of google/api/annotations.proto and http.proto.
const (
	httpExtension      = 72295728
	httpAdditional     = 11
	httpCustom         = 8
	httpNestedRules    = 1 // additional bindings may not have their own
	customKind         = 1
	customPath         = 2
	maxAdditionalRules = 64
)

var httpMethods = map[protowire.Number]string{2: "GET", 3: "PUT", 4: "POST", 5: "DELETE", 6: "PATCH"}

// httpRules finds google.api.http among the options that descriptorpb does not know. Bad wire data gives no rules.
func httpRules(options []byte, depth int) (rules []httpRule) {
	fields(options, func(num protowire.Number, v []byte) {
		if num == httpExtension {
			rules = append(rules, rule(v, depth)...)
		}
	})
	return rules
}

func rule(b []byte, depth int) (rules []httpRule) {
	fields(b, func(num protowire.Number, v []byte) {
		switch {
		case httpMethods[num] != "":
			rules = append(rules, httpRule{httpMethods[num], restPath(string(v))})
		case num == httpCustom:
			var r httpRule
			fields(v, func(num protowire.Number, v []byte) {
				switch num {
				case customKind:
					r.method = strings.ToUpper(string(v))
				case customPath:
					r.path = restPath(string(v))
				}
			})
			if r.method != "" && r.path != "" {
				rules = append(rules, r)
			}
		case num == httpAdditional && depth < httpNestedRules && len(rules) < maxAdditionalRules:
			rules = append(rules, rule(v, depth+1)...)
		}
	})
	return rules
}

// restPath is the template of google.api.http as an OpenAPI one: "{name=projects/*}" has its pattern written out, "**" takes
// the rest.
func restPath(t string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(t, '{')
		end := strings.IndexByte(t[max(open, 0):], '}')
		if open < 0 || end < 0 {
			break
		}
		name, pattern, ok := strings.Cut(t[open+1:open+end], "=")
		b.WriteString(t[:open])
		if !ok || pattern == "*" {
			b.WriteString("{" + name + "}")
		} else {
			for i, seg := range strings.Split(pattern, "/") {
				if i > 0 {
					b.WriteByte('/')
				}
				switch seg {
				case "*":
					b.WriteString("{" + name + "}")
				case "**":
					b.WriteString("{" + name + "*}")
				default:
					b.WriteString(seg)
				}
			}
		}
		t = t[open+end+1:]
	}
	b.WriteString(t)
	return b.String()
}

// fields calls f with each length-delimited field of b, until something is no wire data.
func fields(b []byte, f func(protowire.Number, []byte)) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		if typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return
			}
			f(num, v)
			b = b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return
		}
		b = b[n:]
	}
}
