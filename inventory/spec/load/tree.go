package load

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// node is a value of a YAML or JSON document with the line where it starts. Scalars keep their JSON text.
type node struct {
	line   int
	kind   byte // '{', '[', or 's' for a scalar
	scalar string
	keys   []string
	kids   []*node
}

// get returns the value of a key, nil where there is none.
func (n *node) get(key string) *node {
	if n == nil || n.kind != '{' {
		return nil
	}
	for i, k := range n.keys {
		if k == key {
			return n.kids[i]
		}
	}
	return nil
}

// text is the value of a string, "" for anything else.
func (n *node) text() string {
	var s string
	if n == nil || n.kind != 's' || n.scalar == "" || n.scalar[0] != '"' || json.Unmarshal([]byte(n.scalar), &s) != nil {
		return ""
	}
	return s
}

// pointer follows a JSON pointer (RFC 6901) as it stands in a URI fragment.
func (n *node) pointer(p string) *node {
	for _, key := range strings.Split(strings.TrimPrefix(p, "/"), "/") {
		key = strings.ReplaceAll(strings.ReplaceAll(unescape(key), "~1", "/"), "~0", "~")
		if n == nil {
			return nil
		}
		if n.kind == '[' {
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(n.kids) {
				return nil
			}
			n = n.kids[i]
			continue
		}
		n = n.get(key)
	}
	return n
}

func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// each visits every object of the tree.
func (n *node) each(f func(*node)) {
	if n.kind == '{' {
		f(n)
	}
	for _, k := range n.kids {
		k.each(f)
	}
}

func (n *node) appendJSON(b []byte) []byte {
	switch n.kind {
	case '{':
		b = append(b, '{')
		for i, k := range n.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, quoted(n.keys[i])...), ':')
			b = k.appendJSON(b)
		}
		return append(b, '}')
	case '[':
		b = append(b, '[')
		for i, k := range n.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = k.appendJSON(b)
		}
		return append(b, ']')
	}
	return append(b, n.scalar...)
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON text
	return string(b)
}

// reader makes a tree, within bounds.
type reader struct {
	src    *source
	values int
	active map[*yaml.Node]bool // anchors being expanded
	alias  int                 // line of the outermost alias being expanded: there the reader of a message finds the cause
	bytes  int64
}

// tree reads raw as JSON when it starts like it, else as YAML.
func (s *source) tree(raw []byte) (*node, error) {
	r := &reader{src: s, active: map[*yaml.Node]bool{}}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if c := bytes.TrimSpace(raw); len(c) > 0 && (c[0] == '{' || c[0] == '[') {
		if n, err := r.json(raw); err == nil || c[0] == '[' || json.Valid(raw) {
			return n, err
		} else if y, yerr := r.retry().yaml(raw); yerr == nil { // YAML's flow style
			return y, nil
		} else {
			return nil, err
		}
	}
	return r.yaml(raw)
}

func (r *reader) retry() *reader { return &reader{src: r.src, active: map[*yaml.Node]bool{}} }

func (r *reader) value(line, depth int) error {
	if r.values++; r.values > r.src.cfg.MaxValues {
		return r.src.fail(line, "more than %d values once its aliases are expanded", r.src.cfg.MaxValues)
	}
	if depth > r.src.cfg.MaxDepth {
		return r.src.fail(line, "nested deeper than %d", r.src.cfg.MaxDepth)
	}
	return nil
}

func (r *reader) json(raw []byte) (*node, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	line, at := 1, int64(0)
	where := func() int {
		to := min(dec.InputOffset(), int64(len(raw)))
		line += bytes.Count(raw[at:to], []byte("\n"))
		at = to
		return line
	}
	var stack []*node
	var root *node
	var key string
	var named bool
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) && root != nil && len(stack) == 0 {
			return root, nil
		}
		if err != nil {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) {
				return nil, r.src.fail(1+bytes.Count(raw[:min(max(syntax.Offset, 0), int64(len(raw)))], []byte("\n")), "not JSON: %v", err)
			}
			return nil, r.src.fail(1+bytes.Count(raw, []byte("\n")), "not JSON: %v", err)
		}
		if root != nil && len(stack) == 0 {
			return nil, r.src.fail(where(), "more than one JSON value")
		}
		n := &node{line: where(), kind: 's'}
		var top *node
		if len(stack) > 0 {
			top = stack[len(stack)-1]
		}
		switch v := tok.(type) {
		case json.Delim:
			if v == '}' || v == ']' {
				stack = stack[:len(stack)-1]
				continue
			}
			n.kind = byte(v)
		case string:
			if top != nil && top.kind == '{' && !named {
				key, named = v, true
				if top.get(key) != nil && len(top.keys) < 1000 {
					return nil, r.src.fail(n.line, "the key %.80q stands twice in one object", key)
				}
				continue
			}
			n.scalar = quoted(v)
		case json.Number:
			n.scalar = v.String()
		case bool:
			n.scalar = strconv.FormatBool(v)
		case nil:
			n.scalar = "null"
		}
		if err := r.value(n.line, len(stack)); err != nil {
			return nil, err
		}
		if top == nil {
			root = n
		} else {
			if top.kind == '{' {
				top.keys, named = append(top.keys, key), false
			}
			top.kids = append(top.kids, n)
		}
		if n.kind != 's' {
			stack = append(stack, n)
		}
	}
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

func (r *reader) yaml(raw []byte) (*node, error) {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	if err := r.decode(dec, &doc); err != nil {
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		line := 0
		if m := yamlLine.FindStringSubmatch(text); m != nil {
			line, _ = strconv.Atoi(m[1])
			text = strings.Replace(text, m[0], "", 1)
		}
		return nil, r.src.fail(line, "not YAML: %s", text)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, r.src.fail(0, "empty")
	}
	return r.convert(doc.Content[0], 0)
}

// decode keeps a panic of the YAML library from being more than a refusal.
func (r *reader) decode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML reader failed: %v", p)
		}
	}()
	return dec.Decode(n)
}

func (r *reader) convert(y *yaml.Node, depth int) (*node, error) {
	line := cmp.Or(r.alias, y.Line)
	if err := r.value(line, depth); err != nil {
		return nil, err
	}
	n := &node{line: line}
	switch y.Kind {
	case yaml.AliasNode:
		if r.active[y.Alias] {
			return nil, r.src.fail(y.Line, "the alias *%s stands inside of what it refers to", y.Value)
		}
		r.active[y.Alias] = true
		defer delete(r.active, y.Alias)
		if r.alias == 0 {
			r.alias = y.Line
			defer func() { r.alias = 0 }()
		}
		return r.convert(y.Alias, depth+1)
	case yaml.MappingNode:
		n.kind = '{'
		seen := make(map[string]bool, len(y.Content)/2)
		var merged []*yaml.Node
		for i := 0; i+1 < len(y.Content); i += 2 {
			k, v := y.Content[i], y.Content[i+1]
			if k.Kind == yaml.AliasNode {
				k = k.Alias
			}
			if k.Kind != yaml.ScalarNode {
				return nil, r.src.fail(k.Line, "a key that is no text")
			}
			if k.Tag == "!!merge" {
				merged = append(merged, v)
				continue
			}
			if seen[k.Value] {
				return nil, r.src.fail(k.Line, "the key %.80q stands twice in one mapping", k.Value)
			}
			seen[k.Value] = true
			kid, err := r.convert(v, depth+1)
			if err != nil {
				return nil, err
			}
			n.keys, n.kids = append(n.keys, k.Value), append(n.kids, kid)
		}
		for _, m := range merged {
			if err := r.merge(n, m, seen, depth+1); err != nil {
				return nil, err
			}
		}
	case yaml.SequenceNode:
		n.kind = '['
		for _, v := range y.Content {
			kid, err := r.convert(v, depth+1)
			if err != nil {
				return nil, err
			}
			n.kids = append(n.kids, kid)
		}
	case yaml.ScalarNode:
		n.kind, n.scalar = 's', scalar(y)
		if r.bytes += int64(len(n.scalar)); r.bytes > 4*r.src.cfg.MaxBytes {
			return nil, r.src.fail(line, "larger than %d bytes once its aliases are expanded", 4*r.src.cfg.MaxBytes)
		}
	default:
		return nil, r.src.fail(y.Line, "a YAML value of an unknown kind")
	}
	return n, nil
}

// merge adds the keys of "<<" that n lacks.
func (r *reader) merge(n *node, y *yaml.Node, seen map[string]bool, depth int) error {
	from, err := r.convert(y, depth)
	if err != nil {
		return err
	}
	list := []*node{from}
	if from.kind == '[' {
		list = from.kids
	}
	for _, m := range list {
		if m.kind != '{' {
			return r.src.fail(y.Line, "<< refers to something that is no mapping")
		}
		for i, k := range m.keys {
			if !seen[k] {
				seen[k] = true
				n.keys, n.kids = append(n.keys, k), append(n.kids, m.kids[i])
			}
		}
	}
	return nil
}

var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// scalar is the JSON text of a YAML scalar. What JSON cannot say (.inf, dates) becomes a string.
func scalar(y *yaml.Node) string {
	switch y.Tag {
	case "!!null":
		return "null"
	case "!!bool":
		var v bool
		if y.Decode(&v) == nil {
			return strconv.FormatBool(v)
		}
	case "!!int", "!!float":
		if number.MatchString(y.Value) {
			return y.Value
		}
		var i int64
		if y.Tag == "!!int" && y.Decode(&i) == nil { // 0x1F, 0o17, 1_000
			return strconv.FormatInt(i, 10)
		}
		var f float64
		if y.Decode(&f) == nil {
			if b, err := json.Marshal(f); err == nil {
				return string(b)
			}
		}
	}
	return quoted(y.Value)
}
