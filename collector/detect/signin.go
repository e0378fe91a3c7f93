package detect

import (
	"fmt"
	"strings"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// signin sees more failed sign-ins at an endpoint than its successful ones explain, from one address or from hundreds. A
// campaign raises both; guessing raises failures only.
type signin struct{}

type signinState struct {
	Fail, Pass [3]window // 1 min, 10 min, 1 h
	Share      rate      // of failures, while nothing is wrong
	Callers    [20]string
	At         uint8
	Until      event.Time // open incident
}

var signinWindows = [3]int64{minute, 10 * minute, hour}

func (signin) observe(e *Engine, s *sight) {
	ep := s.ep
	basic := s.c.Auth.Kind == event.AuthBasic
	if ep == nil || !s.external || !basic && (s.cred != nil || safe(s.c.Method) || ep.N > 50 && ep.WithAuth > 0.3*ep.N) {
		return
	}
	st := &ep.Signin
	fail := s.denied || s.c.Status == 429
	pass := s.c.Status >= 200 && s.c.Status < 400
	if !fail && !pass {
		return
	}
	for i, length := range signinWindows {
		st.Fail[i].roll(s.t, length)
		st.Pass[i].roll(s.t, length)
		if fail {
			st.Fail[i].N += s.n
		} else {
			st.Pass[i].N += s.n
		}
	}
	if s.t > st.Until {
		st.Share.add(s.n, fail)
	}
	if !fail {
		return
	}
	known := false
	for i := range st.Callers {
		known = known || st.Callers[i] == s.callerName
	}
	if !known {
		st.Callers[st.At%20] = strings.Clone(s.callerName)
		st.At++
	}
	p := min(st.Share.at(0.1, 60), 0.6)
	best, bestF, bestMu, at := 0.0, 0.0, 0.0, 0
	for i, length := range signinWindows {
		f, ok := st.Fail[i].sliding(s.t, length), st.Pass[i].sliding(s.t, length)
		mu := p/(1-p)*ok + 0.15*float64(i+1)
		if x := negativeBinomialTail(f, mu, max(3, mu)); f >= 8 && x > best {
			best, bestF, bestMu, at = x, f, mu, i
		}
	}
	if best < 13 {
		return
	}
	st.Until = s.t + event.Time(2*hour)
	length := signinWindows[at]
	ev := evidence{
		kind: "credential_stuffing", score: best, key: s.epKey, keyName: ep.Service + " " + ep.Method + " " + ep.Template, parameter: "failed sign-ins in " + span(length),
		expected: fmt.Sprintf("about %.1f, for the sign-ins that succeeded", bestMu), observed: fmt.Sprintf("%.0f failed", bestF), baseline: uint64(st.Share.All),
		everyone: true, first: s.t - event.Time(min(length, int64(s.t-ep.First))),
	}
	for i := range st.Callers {
		if st.Callers[i] != "" {
			ev.peers = append(ev.peers, st.Callers[i])
		}
	}
	e.raise(s, ev)
}

// safe says whether a method only reads (RFC 9110 section 9.2.1).
func safe(method string) bool {
	return method == "GET" || method == "HEAD" || method == "OPTIONS" || method == "TRACE"
}

func span(ns int64) string {
	switch {
	case ns >= hour:
		return fmt.Sprintf("%d h", ns/hour)
	case ns >= minute:
		return fmt.Sprintf("%d min", ns/minute)
	}
	return fmt.Sprintf("%d s", ns/second)
}
