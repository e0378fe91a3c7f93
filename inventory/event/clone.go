package event

import "slices"

// Clone returns a copy of c that may be kept. Strings are shared: they are immutable.
func (c *Call) Clone() Call {
	var d Call
	d.CopyFrom(c)
	return d
}

// CopyFrom makes c a copy of src that may be kept, reusing c's slices: a ring of Calls allocates only while it fills.
func (c *Call) CopyFrom(src *Call) {
	old := *c
	*c = *src
	if src.TLS != nil {
		if c.TLS = old.TLS; c.TLS == nil {
			c.TLS = new(TLSFacts)
		}
		*c.TLS = *src.TLS
	}
	c.Path = append(old.Path[:0], src.Path...)
	for i := range c.Path {
		c.Path[i] = c.Path[i].Clone()
	}
	c.Operations = append(old.Operations[:0], src.Operations...)
	c.Params = append(old.Params[:0], src.Params...)
	c.RequestHeaders = append(old.RequestHeaders[:0], src.RequestHeaders...)
	c.ResponseHeaders = append(old.ResponseHeaders[:0], src.ResponseHeaders...)
	c.RequestBody = copyBody(old.RequestBody, src.RequestBody)
	c.ResponseBody = copyBody(old.ResponseBody, src.ResponseBody)
	c.Auth.Scopes = append(old.Auth.Scopes[:0], src.Auth.Scopes...)
	if src.Auth.Expired != nil {
		e := *src.Auth.Expired
		c.Auth.Expired = &e
	}
	c.Data.Request = append(old.Data.Request[:0], src.Data.Request...)
	c.Data.Response = append(old.Data.Response[:0], src.Data.Response...)
	c.Signs = append(old.Signs[:0], src.Signs...)
	if src.Lost != nil {
		l := *src.Lost
		c.Lost = &l
	}
	if src.Sums != nil {
		c.Sums = src.Sums.Clone()
	}
}

func copyBody(old, src *Body) *Body {
	if src == nil {
		return nil
	}
	if old == nil || old == src {
		old = new(Body)
	}
	old.CopyFrom(src)
	return old
}

// Clone returns a copy that shares no memory, nil for nil.
func (b *Body) Clone() *Body {
	if b == nil {
		return nil
	}
	d := new(Body)
	d.CopyFrom(b)
	return d
}

// Clone returns a copy that shares no memory.
func (s *Sketch) Clone() *Sketch {
	d := &Sketch{Latency: s.Latency, RequestSize: s.RequestSize, ResponseSize: s.ResponseSize, Distinct: slices.Clone(s.Distinct)}
	for _, h := range [...]*Histogram{&d.Latency, &d.RequestSize, &d.ResponseSize} {
		h.Counts = slices.Clone(h.Counts)
	}
	for i := range d.Distinct {
		d.Distinct[i].Values = slices.Clone(d.Distinct[i].Values)
	}
	return d
}
