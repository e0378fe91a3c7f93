package spec

import (
	"cmp"
	"slices"
	"strings"
)

// pattern is a path template made for matching.
type pattern []piece

// piece is one segment: literal pieces between parameters. A literal segment has one text and no hole. "report-{id}.pdf" is
// {"report-", ".pdf"}; "{id}" is {"", ""}.
type piece struct {
	texts []string
	names []string // of the parameters between the texts: one fewer than texts
	rest  bool     // takes this and all further segments: "{path*}", "{+path}", "{path...}"
}

func (p *piece) literal() bool { return len(p.names) == 0 }
func (p *piece) whole() bool {
	return len(p.names) == 1 && p.texts[0] == "" && p.texts[1] == ""
}

// parameter finds the first "{name}" in s, a name being at least one byte without braces and slashes.
func parameter(s string) (from, to int, ok bool) {
	for at := 0; ; {
		end := strings.IndexByte(s[at:], '}')
		if end < 0 {
			return 0, 0, false
		}
		end += at
		if open := strings.LastIndexByte(s[at:end], '{'); open >= 0 && at+open+1 < end && !strings.Contains(s[at+open:end], "/") {
			return at + open, end + 1, true
		}
		at = end + 1
	}
}

// compile makes a pattern of a template. Braces that do not pair are text.
func compile(template string) pattern {
	segments := strings.Split(strings.TrimPrefix(template, "/"), "/")
	p := make(pattern, 0, len(segments))
	for i, s := range segments {
		var pc piece
		for {
			from, to, ok := parameter(s)
			if !ok {
				break
			}
			name := s[from+1 : to-1]
			if n := strings.TrimLeft(strings.TrimRight(name, "*."), "+*"); n != name && n != "" {
				name, pc.rest = n, i == len(segments)-1 && from == 0 && to == len(s)
			}
			pc.texts, pc.names = append(pc.texts, s[:from]), append(pc.names, name)
			s = s[to:]
		}
		pc.texts = append(pc.texts, s)
		p = append(p, pc)
	}
	return p
}

// hole stands for a parameter's value in the path that is matched. A value is never empty.
const hole = "{}"

// blank is template with its parameters' names taken out, and cut into segments.
func blank(template string) []string {
	var b strings.Builder
	for {
		from, to, ok := parameter(template)
		if !ok {
			break
		}
		b.WriteString(template[:from])
		b.WriteString(hole)
		template = template[to:]
	}
	b.WriteString(template)
	return strings.Split(strings.TrimPrefix(b.String(), "/"), "/")
}

// fit is how well a path matches.
type fit int

const (
	none  fit = iota
	loose     // somewhere one value stands where the author saw several pieces
	exact
)

// match says whether the path, which blank made, is an instance of p. A value of the path fits any parameter, a word of the
// path fits a parameter too; a value never fits a word.
func (p pattern) match(path []string) fit {
	best := exact
	for i := range p {
		if p[i].rest {
			if len(path) <= i {
				return none
			}
			return best
		}
		if i >= len(path) {
			return none
		}
		if best = min(best, p[i].match(path[i])); best == none {
			return none
		}
	}
	if len(path) != len(p) {
		return none
	}
	return best
}

func (p *piece) match(s string) fit {
	yes := func(ok bool) fit {
		if ok {
			return exact
		}
		return none
	}
	switch {
	case p.literal():
		return yes(s == p.texts[0])
	case p.whole():
		return yes(s != "")
	case s == hole:
		return loose
	case !strings.HasPrefix(s, p.texts[0]):
		return none
	}
	s = s[len(p.texts[0]):]
	last := len(p.texts) - 1
	for _, t := range p.texts[1:last] {
		i := strings.Index(s[min(1, len(s)):], t) // from 1: a value has at least one byte
		if i < 0 || s == "" {
			return none
		}
		s = s[i+1+len(t):]
	}
	return yes(len(s) > len(p.texts[last]) && strings.HasSuffix(s, p.texts[last]))
}

// compare orders patterns by how specific they are, the more specific first: literals before mixed segments before
// parameters, from the left (OpenAPI 3.1.0, Paths Object: concrete paths before templated ones).
func (p pattern) compare(q pattern) int {
	for i := range min(len(p), len(q)) {
		if c := cmp.Compare(p[i].rank(), q[i].rank()); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(q), len(p))
}

func (p *piece) rank() int {
	switch {
	case p.rest:
		return 3
	case p.whole():
		return 2
	case !p.literal():
		return 1
	}
	return 0
}

// Match is where an observed endpoint was found.
type Match struct {
	Doc  *Document
	Op   *Operation
	Base string // prefix that stands before Op.Path in the traffic
}

// Template is the declared template with its prefix.
func (m *Match) Template() string { return m.Base + m.Op.Path }

// Param is a parameter of a declared template: which segment of the whole path it stands in, and as which piece of it.
type Param struct {
	Name           string
	Segment, Piece int
	Whole          bool // it is the segment
}

// Params lists the parameters of m.Template() in their order.
func (m *Match) Params() []Param {
	skip := strings.Count(m.Base, "/")
	var list []Param
	for i := range m.Op.pattern {
		p := &m.Op.pattern[i]
		for j, name := range p.names {
			list = append(list, Param{name, skip + i, j, p.whole()})
		}
	}
	return list
}

// Set is the documents that cover one service, ready to be matched. It is immutable.
type Set struct {
	docs  []*Document // the newest version of a title first
	bare  bool        // served without the declared prefixes
	bases []base
	newer map[*Document]*Document // of an outdated document, the newest of its title
}

// base is the operations under one prefix, by how many segments they have; those that take any number are in every list.
type base struct {
	prefix string
	ops    map[int][]*Match
	rest   []*Match
}

// NewSet takes the documents that cover a service. paths are the templates observed there: where none of them lies under a
// declared prefix, the service is taken to be served without it (behind a gateway that cuts it off, or in a test).
func NewSet(docs []*Document, paths []string) *Set {
	s := &Set{docs: slices.Clone(docs), newer: map[*Document]*Document{}}
	slices.SortStableFunc(s.docs, func(a, b *Document) int {
		return cmp.Or(cmp.Compare(a.Title, b.Title), -compareVersions(a.Version, b.Version), -cmp.Compare(a.Imported, b.Imported), cmp.Compare(a.ID, b.ID))
	})
	for i, d := range s.docs {
		if i > 0 && d.Title != "" && s.docs[i-1].Title == d.Title {
			if s.newer[d] = s.newer[s.docs[i-1]]; s.newer[d] == nil {
				s.newer[d] = s.docs[i-1]
			}
		}
	}
	bare := true
	for _, d := range s.docs {
		for i := range d.Ops {
			for _, prefix := range d.Ops[i].bases(d) {
				bare = bare && prefix != "" && !slices.ContainsFunc(paths, func(p string) bool { return under(p, prefix) })
			}
		}
	}
	for _, d := range s.docs {
		for i := range d.Ops {
			for _, prefix := range d.Ops[i].bases(d) {
				if s.bare = bare; bare {
					prefix = ""
				}
				s.add(&Match{d, &d.Ops[i], prefix})
			}
		}
	}
	return s
}

func (s *Set) add(m *Match) {
	i := slices.IndexFunc(s.bases, func(b base) bool { return b.prefix == m.Base })
	if i < 0 {
		i = len(s.bases)
		s.bases = append(s.bases, base{prefix: m.Base, ops: map[int][]*Match{}})
	}
	p := m.Op.pattern
	if len(p) > 0 && p[len(p)-1].rest {
		s.bases[i].rest = append(s.bases[i].rest, m)
	} else {
		s.bases[i].ops[len(p)] = append(s.bases[i].ops[len(p)], m)
	}
}

func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

func (o *Operation) bases(d *Document) []string {
	list := o.Bases
	if list == nil {
		list = d.Bases
	}
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

// Len is how many documents there are. A nil Set has none.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.docs)
}

// Same says that s and o match alike: the same documents, under the same prefixes.
func (s *Set) Same(o *Set) bool {
	return s.Len() == o.Len() && (s.Len() == 0 || s.bare == o.bare && slices.Equal(s.docs, o.docs))
}

// each calls f with every operation whose path template is an instance of.
func (s *Set) each(template string, f func(*Match, fit)) {
	for i := range s.bases {
		b := &s.bases[i]
		if !under(template, b.prefix) {
			continue
		}
		path := blank(template[len(b.prefix):])
		for _, list := range [2][]*Match{b.ops[len(path)], b.rest} {
			for _, m := range list {
				if how := m.Op.pattern.match(path); how != none {
					f(m, how)
				}
			}
		}
	}
}

// Find returns the operation that an endpoint is declared by, the most specific of the newest version, or nil. template has
// its values as {name}; selector is what the body asked for, "" for none.
//
// HEAD is declared where GET is (RFC 9110 section 9.3.2), and OPTIONS wherever the path is: clients and browsers send both
// unasked.
func (s *Set) Find(method, template, selector string) *Match {
	m := s.find(template, selector, func(m string) bool { return m == method })
	if m == nil && method == "HEAD" {
		m = s.find(template, selector, func(m string) bool { return m == "GET" })
	}
	if m == nil && method == "OPTIONS" {
		m = s.find(template, selector, func(string) bool { return true })
	}
	return m
}

func (s *Set) find(template, selector string, method func(string) bool) *Match {
	var best *Match
	var bestFit fit
	s.each(template, func(m *Match, how fit) {
		if method(m.Op.Method) && (m.Doc.Format != GraphQL || m.Op.Selector == selector) && (how > bestFit || how == bestFit && s.better(m, best)) {
			best, bestFit = m, how
		}
	})
	return best
}

func (s *Set) better(a, b *Match) bool {
	if x, y := s.newer[a.Doc] == nil, s.newer[b.Doc] == nil; x != y {
		return x
	}
	return cmp.Or(a.Op.pattern.compare(b.Op.pattern), -cmp.Compare(len(a.Base), len(b.Base)), cmp.Compare(a.Doc.ID, b.Doc.ID)) < 0
}

// Methods lists the methods that are declared for template, sorted.
func (s *Set) Methods(template string) []string {
	var list []string
	s.each(template, func(m *Match, _ fit) {
		if !slices.Contains(list, m.Op.Method) {
			list = append(list, m.Op.Method)
		}
	})
	slices.Sort(list)
	return list
}

// compareVersions compares two version texts piece by piece, numbers as numbers: "1.9" before "1.10", "v1" before "v2",
// and a release after its pre-releases ("2.0-beta" before "2.0").
func compareVersions(a, b string) int {
	ta, tb := tokens(a), tokens(b)
	for i := range max(len(ta), len(tb)) {
		x, y := "", ""
		if i < len(ta) {
			x = ta[i]
		}
		if i < len(tb) {
			y = tb[i]
		}
		if x == y {
			continue
		}
		nx, ny := isNumber(x), isNumber(y)
		switch {
		case nx && ny:
			return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
		case nx || ny:
			if nx && y == "" || ny && x == "" { // "2" and "2.1"
				return cmp.Compare(len(x), len(y))
			}
			return cmp.Compare(b2i(nx), b2i(ny)) // a number after a word: 2.0.1 after 2.0-beta
		case x == "":
			return 1
		case y == "":
			return -1
		}
		return cmp.Compare(x, y)
	}
	return 0
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func isNumber(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// tokens cuts a version into runs of digits, without leading zeros, and of letters; a leading v is dropped.
func tokens(s string) []string {
	s = strings.ToLower(s)
	if len(s) > 1 && s[0] == 'v' && isNumber(s[1:]) {
		s = s[1:]
	}
	var list []string
	for len(s) > 0 {
		n := 1
		digit := isNumber(s)
		letter := s[0] >= 'a' && s[0] <= 'z'
		for n < len(s) && (digit && isNumber(s[n:]) || letter && s[n] >= 'a' && s[n] <= 'z') {
			n++
		}
		if digit {
			list = append(list, cmp.Or(strings.TrimLeft(s[:n], "0"), "0"))
		} else if letter {
			list = append(list, s[:n])
		}
		s = s[n:]
	}
	return list
}
