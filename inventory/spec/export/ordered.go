package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"gopkg.in/yaml.v3"
)

// object is a JSON object that keeps the order of its members, so that a document reads as people write it and two of them
// differ only where they say something else.
type object []member

type member struct {
	key   string
	value any // object, []any, string, bool, int, uint64, float64
}

func (o *object) set(key string, value any) { *o = append(*o, member{key, value}) }

// text sets key unless the value is empty.
func (o *object) text(key, value string) {
	if value != "" {
		o.set(key, value)
	}
}

func (o object) get(key string) any {
	for _, m := range o {
		if m.key == key {
			return m.value
		}
	}
	return nil
}

// clean makes what traffic named fit for any reader: no control characters, no bytes that are not UTF-8, and no key twice.
func clean(v any) any {
	switch v := v.(type) {
	case object:
		out := make(object, 0, len(v))
		seen := make(map[string]bool, len(v))
		for _, m := range v {
			if k := printable(m.key); !seen[k] {
				seen[k] = true
				out = append(out, member{k, clean(m.value)})
			}
		}
		return out
	case []any:
		for i := range v {
			v[i] = clean(v[i])
		}
	case string:
		return printable(v)
	}
	return v
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff || !unicode.IsGraphic(r) && !unicode.IsSpace(r) {
			return '\ufffd'
		}
		return r
	}, s)
}

// MarshalJSON keeps the order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		k, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		v, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(k)
		b.WriteByte(':')
		b.Write(v)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// JSON is the document as indented JSON.
func (o object) JSON() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(o); err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	return b.Bytes(), nil
}

// YAML is the same document as YAML.
func (o object) YAML() ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	n, err := node(o)
	if err == nil {
		err = enc.Encode(n)
	}
	if err != nil {
		return nil, fmt.Errorf("encode as YAML: %w", err)
	}
	return b.Bytes(), enc.Close()
}

func node(v any) (*yaml.Node, error) {
	n := &yaml.Node{}
	switch v := v.(type) {
	case object:
		n.Kind = yaml.MappingNode
		for _, m := range v {
			k, err := node(m.key)
			if err != nil {
				return nil, err
			}
			x, err := node(m.value)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, k, x)
		}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
	case []any:
		n.Kind = yaml.SequenceNode
		for _, e := range v {
			x, err := node(e)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, x)
		}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
	default:
		if err := n.Encode(v); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
