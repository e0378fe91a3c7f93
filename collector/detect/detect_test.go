package detect

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gnomon-sensor/gnomon/collector/alert"
	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// town is a small world: a shop's API with people, a back office, a partner and machines, six days of ordinary traffic. Each
// test goes on from there.
type town struct {
	rnd *rand.Rand
	all []event.Call
	id  int
}

const (
	shop, store, mail, assist, tools = "shop", "store", "mail", "assist", "tools"
	learned                          = 6 // days
)

var begin = event.Time(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).UnixNano()) // a Monday

func at(d int, h float64) event.Time { return begin + event.Time(int64(d)*day+int64(h*float64(hour))) }

func (w *town) call(t event.Time, from event.Peer, service, method, template string, status int, more ...func(*event.Call)) *event.Call {
	w.id++
	c := event.Call{ID: fmt.Sprintf("c%06d", w.id), Time: t, Side: event.SideServer, Service: service, Client: from, Method: method, Template: template, Status: status, ResponseBytes: int64(800 + w.rnd.IntN(400)),
		Server: event.Peer{Address: "10.1.0." + fmt.Sprint(len(service)), Port: 8080, Workload: "prod/Deployment/" + service, Process: "java"}}
	for _, m := range more {
		m(&c)
	}
	w.all = append(w.all, c)
	return &w.all[len(w.all)-1]
}

func path(name, value string) func(*event.Call) {
	return func(c *event.Call) {
		c.Params = append(c.Params, event.Param{In: event.InPath, Name: name, Kind: event.KindInteger, Hash: value})
	}
}

func field(names ...string) func(*event.Call) {
	return func(c *event.Call) {
		for _, n := range names {
			c.Params = append(c.Params, event.Param{In: event.InBody, Name: n, Kind: event.KindString, Hash: n})
		}
	}
}

func jwt(subject string) func(*event.Call) {
	return func(c *event.Call) {
		c.Auth = event.Auth{Kind: event.AuthBearerJWT, Credential: "t-" + subject, Subject: subject, Issuer: "https://id.example"}
	}
}

func staff(subject string) func(*event.Call) {
	return func(c *event.Call) { jwt(subject)(c); c.Auth.Issuer = "https://sso.example" }
}

func key(name string) func(*event.Call) {
	return func(c *event.Call) { c.Auth = event.Auth{Kind: event.AuthAPIKey, Credential: name} }
}

func token(name string) func(*event.Call) {
	return func(c *event.Call) { c.Auth = event.Auth{Kind: event.AuthBearerOpaque, Credential: name} }
}

func bytesOf(n int64) func(*event.Call)    { return func(c *event.Call) { c.ResponseBytes = n } }
func sent(n int64) func(*event.Call)       { return func(c *event.Call) { c.RequestBytes = n } }
func signed(s string) func(*event.Call)    { return func(c *event.Call) { c.Signs = []string{s} } }
func operation(s string) func(*event.Call) { return func(c *event.Call) { c.Operations = []string{s} } }
func outside(c *event.Call) {
	c.Side, c.Server = event.SideClient, event.Peer{Address: "203.0.113.9", Port: 443}
}
func holding(class, place string) func(*event.Call) {
	return func(c *event.Call) {
		c.Data.Response = append(c.Data.Response, event.DataClass{Class: class, At: place, Count: 1})
	}
}

func person(i int) event.Peer { return event.Peer{Address: fmt.Sprintf("240.%d.7.%d", 10+i%12, i)} }
func podOf(name string, i int) event.Peer {
	return event.Peer{Address: fmt.Sprintf("10.2.%d.%d", len(name), i), Workload: "prod/Deployment/" + name, Process: "python3"}
}

var partner = event.Peer{Address: "245.3.3.3"}

// visit is what a person does in one session.
func (w *town) visit(t event.Time, i int) {
	me := fmt.Sprintf("user-%d", i)
	next := func() event.Time { t += event.Time((4 + w.rnd.Int64N(8)) * second); return t }
	item := func() string { return fmt.Sprint("item", w.rnd.IntN(400)) }
	w.call(next(), person(i), shop, "POST", "/session", 200, field("name"))
	for range 1 + w.rnd.IntN(3) {
		w.call(next(), person(i), shop, "GET", "/items/{id}", 200, path("id", item()))
	}
	switch w.rnd.IntN(4) {
	case 0:
		w.call(next(), person(i), shop, "POST", "/basket", 201, jwt(me), field("sku"))
		w.call(next(), person(i), shop, "PUT", "/basket/{b}/address", 200, jwt(me), path("b", me))
		w.call(next(), person(i), shop, "POST", "/basket/{b}/order", 201, jwt(me), path("b", me))
		w.call(t+event.Time(second/10), podOf(shop, 0), store, "PUT", "/stock/{id}", 200, jwt(me), path("id", item()))
	case 1:
		w.call(next(), person(i), shop, "GET", "/me", 200, jwt(me), holding("email", "$.email"))
		w.call(next(), person(i), shop, "PATCH", "/me", 200, jwt(me), field("name", "phone"))
	case 2:
		w.call(next(), person(i), shop, "POST", "/ask", 200, jwt(me), sent(int64(900+w.rnd.IntN(600))))
		w.call(t+event.Time(second/10), podOf(shop, 0), assist, "POST", "/chat", 200, jwt(me), sent(1000))
		w.call(t+event.Time(second/5), podOf(assist, 0), "llm.example:443", "POST", "/v1/chat/completions", 200, token("vendor"), outside, sent(3000))
		w.call(t+event.Time(second/4), podOf(assist, 0), tools, "POST", "/mcp", 200, token("assist"), operation("tools/call/search"))
	}
	for range 1 + w.rnd.IntN(2) {
		w.call(next(), person(i), shop, "GET", "/orders/{id}", 200, jwt(me), path("id", fmt.Sprintf("%s-%d", me, w.rnd.IntN(4))))
	}
	w.call(t+event.Time(second/10), podOf(shop, 0), store, "GET", "/orders/{id}", 200, jwt(me), path("id", me))
}

// hourOf adds the ordinary traffic of one hour.
func (w *town) hourOf(d, h int) {
	t := at(d, float64(h))
	within := func() event.Time { return t + event.Time(w.rnd.Int64N(hour)) }
	people := 12
	if h < 7 {
		people = 2
	}
	for range people {
		w.visit(within(), w.rnd.IntN(60))
	}
	for m := range 60 {
		w.call(t+event.Time(int64(m)*minute+second), podOf("poller", 0), store, "GET", "/changes", 200, token("poller"))
	}
	for range 24 {
		w.call(within(), podOf("worker", w.rnd.IntN(2)), store, "GET", "/orders/{id}", 200, token("worker"), path("id", fmt.Sprint("o", w.rnd.IntN(5000))))
	}
	for range 12 {
		w.call(within(), podOf("worker", w.rnd.IntN(2)), mail, "POST", "/send", 202, token("worker"))
		w.call(within(), partner, shop, "GET", "/partner/orders", 200, key("partner"), bytesOf(int64(8000+w.rnd.IntN(3000))))
	}
	w.call(t+event.Time(7*minute), podOf("hourly", 100+d*24+h), store, "GET", "/totals", 200, token("hourly"))
	if d < 2 {
		w.call(within(), event.Peer{Address: "245.8.8.8"}, shop, "GET", "/partner/orders", 200, key("retired"), bytesOf(9000))
	}
	if h >= 8 && h < 17 && d%7 < 5 {
		for i := range 4 {
			who := fmt.Sprintf("staff-%d", i)
			w.call(within(), event.Peer{Address: "244.1.1.9"}, shop, "GET", "/admin/people/{id}", 200, staff(who), path("id", fmt.Sprint(w.rnd.IntN(60))))
			w.call(within(), event.Peer{Address: "244.1.1.9"}, shop, "PUT", "/admin/people/{id}/role", 200, staff(who), path("id", fmt.Sprint(w.rnd.IntN(60))), field("role"))
		}
	}
}

func (w *town) sorted() []event.Call {
	slices.SortStableFunc(w.all, func(a, b event.Call) int { return int(min(max(a.Time-b.Time, -1), 1)) })
	return w.all
}

func newTown(seed uint64) *town { return &town{rnd: rand.New(rand.NewPCG(seed, 7))} }

// learnedState is an Engine's state after the six days. No finding above information may come of them.
var learnedState = sync.OnceValues(func() ([]byte, error) {
	w := newTown(1)
	for d := range learned {
		for h := range 24 {
			w.hourOf(d, h)
		}
	}
	var bad []string
	e := New(Config{Emit: func(f *alert.Finding) {
		if f.SeverityID > alert.Informational {
			bad = append(bad, f.Message)
		}
	}})
	for _, c := range w.sorted() {
		e.Observe(&c)
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("ordinary days caused alerts: %q", bad)
	}
	var b bytes.Buffer
	err := e.Save(&b)
	return b.Bytes(), err
})

// today plays ordinary traffic of the seventh day (a Monday if monday) up to the end of story, with what story adds, and returns the findings.
func today(t *testing.T, story func(w *town)) []*alert.Finding {
	t.Helper()
	state, err := learnedState()
	require.NoError(t, err)
	w := newTown(2)
	for h := range 24 {
		w.hourOf(learned+1, h)
	}
	w.id = 500_000
	story(w)
	return play(t, state, w.sorted())
}

func play(t *testing.T, state []byte, calls []event.Call) (found []*alert.Finding) {
	t.Helper()
	e := New(Config{Emit: func(f *alert.Finding) {
		if f.SeverityID > alert.Informational {
			found = append(found, f)
		}
	}})
	require.NoError(t, e.Load(bytes.NewReader(state)))
	for i := range calls {
		e.Observe(&calls[i])
	}
	e.Tick(calls[len(calls)-1].Time + event.Time(hour))
	e.Flush()
	return found
}

func kindsOf(found []*alert.Finding) (kinds []string) {
	for _, f := range found {
		kinds = append(kinds, f.Kind())
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// every calls f n times, step apart, from hour h of today on.
func every(h float64, n int, step time.Duration, f func(t event.Time, i int)) {
	for i := range n {
		f(at(learned+1, h)+event.Time(int64(i)*int64(step)), i)
	}
}

func TestEachDetectorFindsItsAttackAndLeavesTheNearMissAlone(t *testing.T) {
	stranger := event.Peer{Address: "245.66.6.6"}
	thief := person(3)
	for _, c := range []struct {
		kind   string
		attack func(w *town)
		miss   func(w *town) // as like as can be, but ordinary
		why    string
	}{
		{"volume_surge", func(w *town) {
			every(11, 400, 2*time.Second, func(t event.Time, _ int) {
				w.call(t, podOf("poller", 0), store, "GET", "/changes", 200, token("poller"))
			})
		}, func(w *town) {
			every(11, 6, 2*time.Second, func(t event.Time, _ int) {
				w.call(t, podOf("poller", 0), store, "GET", "/changes", 200, token("poller"))
			})
		}, "a handful of calls more"},
		{"enumeration", func(w *town) {
			every(11, 60, 20*time.Second, func(t event.Time, i int) {
				w.call(t, thief, shop, "GET", "/orders/{id}", 200, jwt("user-3"), path("id", fmt.Sprint("x", i)))
			})
		}, func(w *town) {
			every(11, 60, 20*time.Second, func(t event.Time, i int) {
				w.call(t, thief, shop, "GET", "/orders/{id}", 200, jwt("user-3"), path("id", fmt.Sprint("user-3-", i%3)))
			})
		}, "the same three orders again and again"},
		{"scraping", func(w *town) {
			every(11, 120, 2*time.Second, func(t event.Time, i int) {
				w.call(t, stranger, shop, "GET", "/items/{id}", 200, path("id", fmt.Sprint("item", i)))
			})
		}, func(w *town) {
			every(11, 5, 20*time.Second, func(t event.Time, i int) {
				w.call(t, stranger, shop, "GET", "/items/{id}", 200, path("id", fmt.Sprint("item", i)))
			})
		}, "a visitor who looks at five items"},
		{"bfla", func(w *town) {
			every(11, 3, time.Minute, func(t event.Time, i int) {
				w.call(t, thief, shop, "PUT", "/admin/people/{id}/role", 200, jwt("user-3"), path("id", "9"), field("role"))
			})
		}, func(w *town) {
			every(11, 3, time.Minute, func(t event.Time, i int) {
				w.call(t, event.Peer{Address: "244.1.1.9"}, shop, "PUT", "/admin/people/{id}/role", 200, staff("staff-new"), path("id", "9"), field("role"))
			})
		}, "a new member of the group that does it anyway"},
		{"credential_stuffing", func(w *town) {
			every(11, 60, 4*time.Second, func(t event.Time, i int) {
				w.call(t, event.Peer{Address: fmt.Sprintf("246.%d.1.1", i)}, shop, "POST", "/session", 401, field("name"))
			})
		}, func(w *town) {
			every(11, 200, 4*time.Second, func(t event.Time, i int) {
				status := 200
				if i%25 == 0 {
					status = 401
				}
				w.call(t, person(i%60), shop, "POST", "/session", status, field("name"))
			})
		}, "a campaign: many sign-ins, a few of them mistyped"},
		{"token_theft", func(w *town) {
			every(11, 10, 3*time.Minute, func(t event.Time, i int) {
				w.call(t, event.Peer{Address: "248.5.5.5"}, shop, "GET", "/partner/orders", 200, key("partner"), bytesOf(9000))
			})
		}, func(w *town) {
			moved := at(learned+1, 11)
			for i := range w.all {
				if c := &w.all[i]; c.Auth.Credential == "partner" && c.Time >= moved {
					c.Client.Address = "248.5.5.5"
				}
			}
		}, "the partner moved: the old address fell silent"},
		{"token_theft", func(w *town) {
			every(11, 5, 10*time.Second, func(t event.Time, i int) {
				w.call(t, podOf("poller", 0), store, "GET", "/orders/{id}", 200, token("worker"), path("id", "o1"))
			})
		}, func(w *town) {
			every(11, 12, 10*time.Second, func(t event.Time, i int) {
				w.call(t, podOf("worker", i%2), shop, "GET", "/items/{id}", 200, token("worker"), path("id", "item1"))
				w.call(t+event.Time(second/10), podOf(shop, 0), store, "GET", "/orders/{id}", 200, token("worker"), path("id", "o1"))
			})
		}, "a server passes on what was delivered to it"},
		{"scanning", func(w *town) {
			every(11, 20, 7*time.Second, func(t event.Time, i int) {
				w.call(t, stranger, shop, "GET", fmt.Sprintf("/old%d.php", i), 404)
			})
		}, func(w *town) {
			every(11, 4, 7*time.Second, func(t event.Time, i int) {
				w.call(t, stranger, shop, "GET", fmt.Sprintf("/old%d.php", i), 404)
			})
		}, "a stranger who tries four paths and leaves"},
		{"exfiltration", func(w *town) {
			every(11, 6, 5*time.Minute, func(t event.Time, i int) {
				w.call(t, partner, shop, "GET", "/partner/orders", 200, key("partner"), bytesOf(200_000))
			})
		}, func(w *town) {
			every(11, 6, 5*time.Minute, func(t event.Time, i int) {
				w.call(t, partner, shop, "GET", "/partner/orders", 200, key("partner"), bytesOf(13_000))
			})
		}, "answers half as large again"},
		{"data_exposure", func(w *town) {
			every(11, 12, time.Minute, func(t event.Time, i int) {
				w.call(t, person(i), shop, "GET", "/items/{id}", 200, path("id", "item1"), holding("national_id", "$.seller.id"))
			})
		}, func(w *town) {
			every(11, 1, time.Minute, func(t event.Time, i int) {
				w.call(t, person(i), shop, "GET", "/items/{id}", 200, path("id", "item1"), holding("national_id", "$.seller.id"))
			})
			every(12, 8, time.Minute, func(t event.Time, i int) {
				w.call(t, person(i), shop, "GET", "/me", 200, jwt(fmt.Sprint("user-", i)), holding("email", "$.contact.email"))
			})
		}, "one mistake of the sensor, and a class that moved to another field"},
		{"lateral_movement", func(w *town) {
			every(11, 3, 5*time.Minute, func(t event.Time, i int) {
				w.call(t, podOf("poller", 0), mail, "POST", "/send", 202, token("poller"))
			})
		}, func(w *town) {
			every(11, 12, 5*time.Minute, func(t event.Time, i int) {
				w.call(t, podOf("worker", i%2), shop, "GET", "/items/{id}", 200, token("worker"), path("id", "item1"))
			})
		}, "all pods of a workload begin to use a service: a feature"},
		{"egress", func(w *town) {
			every(11, 3, 5*time.Minute, func(t event.Time, i int) {
				w.call(t, podOf("poller", 0), "drop.example:443", "POST", "/up", 200, outside, sent(900_000))
			})
		}, func(w *town) {
			for i := range w.all { // new pods since ten o'clock
				if c := &w.all[i]; c.Time >= at(learned+1, 10.5) && c.Client.Workload == "prod/Deployment/poller" {
					c.Client.Address = "10.2.77.1"
				}
			}
			fresh := podOf("poller", 0)
			fresh.Address = "10.2.77.1"
			every(11, 3, 5*time.Minute, func(t event.Time, i int) {
				w.call(t, fresh, "drop.example:443", "POST", "/up", 200, outside, sent(900_000))
			})
		}, "after a deploy"},
		{"dormant_credential", func(w *town) {
			every(11, 2, time.Minute, func(t event.Time, i int) {
				w.call(t, event.Peer{Address: "245.8.8.8"}, shop, "GET", "/partner/orders", 200, key("retired"), bytesOf(9000))
			})
		}, func(w *town) {
			every(11, 2, time.Minute, func(t event.Time, i int) {
				w.call(t, event.Peer{Address: "245.8.8.9"}, shop, "GET", "/partner/orders", 200, key("new"), bytesOf(9000))
			})
		}, "a credential that was never seen"},
		{"off_hours", func(w *town) {
			every(2, 6, 3*time.Minute, func(t event.Time, i int) {
				w.call(t, event.Peer{Address: "244.1.1.9"}, shop, "GET", "/admin/people/{id}", 200, staff("staff-1"), path("id", "5"))
			})
		}, func(w *town) {
			every(17.6, 6, 3*time.Minute, func(t event.Time, i int) {
				w.call(t, event.Peer{Address: "244.1.1.9"}, shop, "GET", "/admin/people/{id}", 200, staff("staff-1"), path("id", "5"))
			})
		}, "an hour of overtime"},
		{"error_burst", func(w *town) {
			every(11, 20, 15*time.Second, func(t event.Time, i int) {
				w.call(t, thief, shop, "PATCH", "/me", []int{400, 422, 500}[i%3], jwt("user-3"), field("name"))
			})
		}, func(w *town) {
			every(11, 20, 15*time.Second, func(t event.Time, i int) {
				status := 200
				if i%5 == 0 {
					status = 400
				}
				w.call(t, thief, shop, "GET", "/me", status, jwt("user-3"))
			})
		}, "one call in five is wrong"},
		{"schema_probe", func(w *town) {
			every(11, 4, 10*time.Minute, func(t event.Time, i int) {
				w.call(t, thief, shop, "PATCH", "/me", 200, jwt("user-3"), field("name", []string{"isAdmin", "credit"}[i%2]))
			})
		}, func(w *town) {
			every(11, 12, 10*time.Minute, func(t event.Time, i int) {
				w.call(t-event.Time(minute), person(i), shop, "GET", "/me", 200, jwt(fmt.Sprint("user-", i)))
				w.call(t, person(i), shop, "PATCH", "/me", 200, jwt(fmt.Sprint("user-", i)), field("name", "avatar"))
			})
		}, "a new version of the client, user by user"},
		{"injection", func(w *town) {
			every(11, 3, 10*time.Minute, func(t event.Time, i int) {
				w.call(t, stranger, shop, "GET", "/items/{id}", 400, path("id", "q"), signed("sqli"))
			})
		}, func(w *town) {
			every(11, 1, 10*time.Minute, func(t event.Time, i int) {
				w.call(t, stranger, shop, "GET", "/items/{id}", 400, path("id", "q"), signed("sqli"))
			})
		}, "a single sign"},
		{"sequence_break", func(w *town) {
			every(5, 8, 2*time.Minute, func(t event.Time, i int) {
				w.call(t, event.Peer{Address: "240.99.1.1"}, shop, "POST", "/basket/{b}/order", 201, jwt("user-new"), path("b", "z"))
			})
		}, func(w *town) {
			every(5, 8, 2*time.Minute, func(t event.Time, i int) {
				w.call(t-event.Time(minute), event.Peer{Address: "240.99.1.1"}, shop, "PUT", "/basket/{b}/address", 200, jwt("user-new"), path("b", "z"))
				w.call(t, event.Peer{Address: "240.99.1.1"}, shop, "POST", "/basket/{b}/order", 201, jwt("user-new"), path("b", "z"))
			})
		}, "a flow that is taken up again in the middle"},
		{"llm_abuse", func(w *town) {
			every(11, 8, 10*time.Second, func(t event.Time, i int) {
				w.call(t, thief, shop, "POST", "/ask", 200, jwt("user-3"), sent(60_000))
			})
		}, func(w *town) {
			every(11, 8, 10*time.Second, func(t event.Time, i int) {
				w.call(t, thief, shop, "POST", "/ask", 200, jwt("user-3"), sent(1400))
			})
		}, "a long conversation of ordinary questions"},
		{"llm_abuse", func(w *town) {
			every(11, 3, time.Minute, func(t event.Time, i int) {
				w.call(t, podOf(assist, 0), tools, "POST", "/mcp", 200, token("assist"), operation("tools/call/run_sql"))
			})
		}, func(w *town) {
			every(11, 3, time.Minute, func(t event.Time, i int) {
				w.call(t, podOf(assist, 0), tools, "POST", "/mcp", 200, token("assist"), operation("tools/call/search"))
			})
		}, "a tool that it always used"},
	} {
		t.Run(c.kind+", not "+c.why, func(t *testing.T) {
			found := today(t, c.attack)
			require.Contains(t, kindsOf(found), c.kind)
			require.LessOrEqual(t, len(found), 3, "one incident is told once, and again when it turns out to be more")
			near := today(t, c.miss)
			require.Empty(t, kindsOf(near), "%s", messages(near))
		})
	}
}

func messages(found []*alert.Finding) (list []string) {
	for _, f := range found {
		list = append(list, f.Message)
	}
	return list
}

func TestAnOrdinaryDayCausesNoAlert(t *testing.T) {
	require.Empty(t, messages(today(t, func(*town) {})))
}

func TestACampaignThatBringsManyPeopleIsNoSurge(t *testing.T) {
	found := today(t, func(w *town) {
		for i := range 240 {
			now := at(learned+1, 13) + event.Time(int64(i)*25*second/2)
			w.visit(now, 100+i)
			if i%3 > 0 {
				continue
			}
			w.call(now, podOf("worker", i%2), mail, "POST", "/send", 202, token("worker"))
			w.call(now, podOf("worker", i%2), store, "GET", "/orders/{id}", 200, token("worker"), path("id", fmt.Sprint("o", i)))
		}
	})
	require.Empty(t, messages(found))
}

func TestStateSavedInMidIncidentGoesOnWithoutTellingTwice(t *testing.T) {
	state, err := learnedState()
	require.NoError(t, err)
	w := newTown(3)
	every(11, 60, 20*time.Second, func(at event.Time, i int) {
		w.call(at, person(3), shop, "GET", "/orders/{id}", 200, jwt("user-3"), path("id", fmt.Sprint("x", i)))
	})
	every(12, 3, 5*time.Minute, func(at event.Time, i int) {
		w.call(at, podOf("poller", 0), mail, "POST", "/send", 202, token("poller"))
	})
	calls := w.sorted()
	whole := play(t, state, calls)
	require.NotEmpty(t, whole)
	for _, cut := range []int{1, 15, 40, 61, len(calls) - 1} {
		var found []*alert.Finding
		emit := func(f *alert.Finding) {
			if f.SeverityID > alert.Informational {
				found = append(found, f)
			}
		}
		a := New(Config{Emit: emit})
		require.NoError(t, a.Load(bytes.NewReader(state)))
		for i := range calls[:cut] {
			a.Observe(&calls[i])
		}
		var mid bytes.Buffer
		require.NoError(t, a.Save(&mid))
		b := New(Config{Emit: emit})
		require.NoError(t, b.Load(&mid))
		for i := range calls[cut:] {
			b.Observe(&calls[cut+i])
		}
		b.Tick(calls[len(calls)-1].Time + event.Time(hour))
		b.Flush()
		require.Equal(t, whole, found, "cut after %d calls", cut)
	}
}

func TestStateOfAnotherKeyIsRefused(t *testing.T) {
	state, err := learnedState()
	require.NoError(t, err)
	require.ErrorIs(t, New(Config{Key: [2]uint64{1, 2}}).Load(bytes.NewReader(state)), ErrState)
	require.Error(t, New(Config{}).Load(bytes.NewReader(state[:100])))
}

// folded sums up alike calls of ten seconds, as the agent does with what is ordinary; what failed or is hostile leaves as it is.
func folded(calls []event.Call) (out []event.Call) {
	type like struct {
		caller, service, method, template, credential string
		slot                                          int64
	}
	open := map[like]int{}
	for _, c := range calls {
		if c.Status >= 400 || len(c.Signs) > 0 || len(c.Data.Response) > 0 || len(c.Params) > 0 {
			out = append(out, c)
			continue
		}
		k := like{c.Client.Workload + c.Client.Address, c.Service, c.Method, c.Template, c.Auth.Credential, int64(c.Time) / (10 * second)}
		i, ok := open[k]
		if !ok {
			open[k] = len(out)
			c.Count, c.Until = 1, c.Time
			out = append(out, c)
			continue
		}
		sum := &out[i]
		sum.Count++
		sum.Until = c.Time
		sum.ResponseBytes += c.ResponseBytes
		sum.RequestBytes += c.RequestBytes
	}
	return out
}

func TestTalliesGiveTheSameAlertsAsTheCallsTheyFold(t *testing.T) {
	state, err := learnedState()
	require.NoError(t, err)
	w := newTown(4)
	for h := range 24 {
		w.hourOf(learned+1, h)
	}
	every(9, 900, time.Second, func(at event.Time, _ int) {
		w.call(at, podOf("poller", 0), store, "GET", "/changes", 200, token("poller"))
	})
	every(14, 30, 3*time.Second, func(at event.Time, _ int) {
		w.call(at, partner, shop, "GET", "/partner/orders", 200, key("partner"), bytesOf(300_000))
	})
	calls := w.sorted()
	short := folded(calls)
	require.Less(t, len(short), len(calls)-800)
	what := func(found []*alert.Finding) (list []string) {
		for _, f := range found {
			g := f.Unmapped.Gnomon
			list = append(list, f.Kind()+" "+g.Caller+" "+g.Service+" "+g.Template)
		}
		return list
	}
	require.Equal(t, what(play(t, state, calls)), what(play(t, state, short)))
	require.Len(t, what(play(t, state, short)), 2)
}

func TestAnAttackThatGrowsSlowlyDoesNotBecomeNormal(t *testing.T) {
	state, err := learnedState()
	require.NoError(t, err)
	w := newTown(5)
	for d := range 4 {
		for h := range 24 {
			w.hourOf(learned+1+d, h)
			extra := 3 << (2 * d) // 3, 12, 48, 192 an hour
			for range extra {
				w.call(at(learned+1+d, float64(h))+event.Time(w.rnd.Int64N(hour)), podOf("worker", 0), mail, "POST", "/send", 202, token("worker"))
			}
		}
	}
	require.Contains(t, kindsOf(play(t, state, w.sorted())), "volume_surge")
}

func TestGuessingIsFoundWithoutAnythingLearnedBefore(t *testing.T) {
	guess := event.Peer{Address: "245.66.6.6"}
	for name, story := range map[string]func(w *town, t event.Time, i int){
		"credential_stuffing": func(w *town, t event.Time, i int) {
			w.call(t, guess, shop, "GET", "/private", 401, func(c *event.Call) { c.Auth = event.Auth{Kind: event.AuthBasic, Credential: fmt.Sprint("guess", i)} })
		},
		"credential_stuffing ": func(w *town, t event.Time, i int) { w.call(t, guess, shop, "POST", "/login", 401, field("name")) },
		"scanning":             func(w *town, t event.Time, i int) { w.call(t, guess, shop, "GET", fmt.Sprint("/word", i), 404) },
		"injection":            func(w *town, t event.Time, i int) { w.call(t, guess, shop, "GET", "/search", 200, signed("sqli")) },
		"error_burst": func(w *town, t event.Time, i int) {
			w.call(t, guess, shop, "GET", "/search", []int{500, 400}[i%2])
		},
	} {
		w := newTown(6)
		for i := range 200 {
			w.call(begin+event.Time(int64(i)*second), person(i), shop, "GET", "/search", 200)
		}
		for i := range 40 {
			story(w, begin+event.Time(int64(200+i)*second), i)
		}
		var kinds []string
		e := New(Config{Emit: func(f *alert.Finding) { kinds = append(kinds, f.Kind()) }})
		for _, c := range w.sorted() {
			e.Observe(&c)
		}
		require.Equal(t, []string{strings.TrimSpace(name)}, kinds)
	}
}

func TestAServiceCanBeMutedAndAskForMoreEvidence(t *testing.T) {
	state, err := learnedState()
	require.NoError(t, err)
	w := newTown(7)
	every(11, 60, 20*time.Second, func(at event.Time, i int) {
		w.call(at, person(3), shop, "GET", "/orders/{id}", 200, jwt("user-3"), path("id", fmt.Sprint("x", i)))
	})
	severities := func(cfg Config) (list []int) {
		cfg.Emit = func(f *alert.Finding) { list = append(list, f.SeverityID) }
		e := New(cfg)
		require.NoError(t, e.Load(bytes.NewReader(state)))
		for _, c := range w.sorted() {
			e.Observe(&c)
		}
		return list
	}
	require.Equal(t, []int{alert.High}, severities(Config{}))
	require.Equal(t, []int{alert.Informational}, severities(Config{Services: map[string]Tuning{shop: {Mute: []string{"enumeration"}}}}))
	require.Empty(t, severities(Config{Services: map[string]Tuning{shop: {Sensitivity: 0.01}}}))
}

func TestBeyondItsBudgetAServiceIsToldOfAsInformation(t *testing.T) {
	w := newTown(8)
	for a := range 30 {
		for i := range 18 {
			w.call(begin+event.Time(int64(a*20+i)*second), event.Peer{Address: fmt.Sprintf("245.1.1.%d", a)}, shop, "GET", fmt.Sprint("/old", i), 404)
		}
	}
	loud := 0
	e := New(Config{Budget: 5, Emit: func(f *alert.Finding) {
		if f.SeverityID > alert.Informational {
			loud++
		}
	}})
	for _, c := range w.sorted() {
		e.Observe(&c)
	}
	require.Equal(t, 5, loud)
	require.NotZero(t, e.Stats().Informational)
}

func TestTheSameCallsGiveTheSameFindings(t *testing.T) {
	story := func(w *town) {
		every(11, 60, 20*time.Second, func(at event.Time, i int) {
			w.call(at, person(3), shop, "GET", "/orders/{id}", 200, jwt("user-3"), path("id", fmt.Sprint("x", i)))
		})
	}
	require.Equal(t, today(t, story), today(t, story))
}
