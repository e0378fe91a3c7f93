package inventory

// entry is how often one thing was seen, by its hash.
type entry struct {
	h, n uint64
}

// multiset counts things by hash, up to a limit that the caller gives with each addition. Beyond it the things with the
// smallest hashes stay (bottom-k: which ones stay does not depend on the order) and the others are counted together.
// A slice and a scan: most leaves have one to three of each, where a map would take 300 bytes.
type multiset struct {
	e     []entry
	other uint64
}

// add counts n of h and says whether h is new to the list, which makes its name worth keeping.
func (m *multiset) add(h, n uint64, limit int) bool {
	for i := range m.e {
		if m.e[i].h == h {
			m.e[i].n += n
			if i > 0 && m.e[i].n > m.e[i-1].n { // what is frequent is found first
				m.e[i], m.e[i-1] = m.e[i-1], m.e[i]
			}
			return false
		}
	}
	if len(m.e) < limit {
		m.e = append(m.e, entry{h, n})
		return true
	}
	top := 0
	for i := range m.e {
		if m.e[i].h > m.e[top].h {
			top = i
		}
	}
	if len(m.e) == 0 || h > m.e[top].h {
		m.other += n
		return false
	}
	m.other += m.e[top].n
	m.e[top] = entry{h, n}
	return true
}

// sub takes n of h back.
func (m *multiset) sub(h, n uint64) {
	for i := range m.e {
		if m.e[i].h == h {
			if m.e[i].n -= min(n, m.e[i].n); m.e[i].n == 0 {
				m.e = append(m.e[:i], m.e[i+1:]...)
			}
			return
		}
	}
	m.other -= min(n, m.other)
}

func (m *multiset) merge(o *multiset, limit int) {
	for _, e := range o.e {
		m.add(e.h, e.n, limit)
	}
	m.other += o.other
}

// count is how often h was seen, 0 where it is not listed.
func (m *multiset) count(h uint64) uint64 {
	for i := range m.e {
		if m.e[i].h == h {
			return m.e[i].n
		}
	}
	return 0
}
