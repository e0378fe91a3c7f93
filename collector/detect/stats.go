package detect

import (
	"math"
	"math/bits"

	"github.com/gnomon-sensor/gnomon/inventory/event"
)

// poissonTail is -ln P(X >= k) for X ~ Poisson(mu): nats of surprise. Chernoff's bound beyond the mean, which errs on the
// side of less surprise by under ln(k) and never leaves the range of a float.
func poissonTail(k, mu float64) float64 {
	if k <= mu || k <= 0 {
		return 0
	}
	if mu <= 0 {
		return math.Inf(1)
	}
	return mu - k + k*math.Log(k/mu)
}

// negativeBinomialTail is -ln P(X >= k) for counts with mean mu and variance mu + mu²/r (a Poisson whose rate itself varies
// like a gamma of shape r): traffic is burstier than Poisson, and a z-score or a Poisson tail would call every busy minute
// an attack. Chernoff's bound.
func negativeBinomialTail(k, mu, r float64) float64 {
	if k <= mu || k <= 0 {
		return 0
	}
	if mu <= 0 {
		return math.Inf(1)
	}
	return k*math.Log(k/mu) - (k+r)*math.Log((k+r)/(mu+r))
}

// binomialTail is -ln P(X >= k) for k of n with chance p. Chernoff's bound.
func binomialTail(k, n, p float64) float64 {
	if n <= 0 || k <= n*p {
		return 0
	}
	q := min(k/n, 1)
	d := q * math.Log(q/p)
	if q < 1 {
		d += (1 - q) * math.Log((1-q)/(1-p))
	}
	return n * d
}

// window counts what falls in a tumbling window and remembers the one before, so that a burst across the border is seen.
type window struct {
	At   int64 // number of the window
	N    float64
	Prev float64
}

// roll moves to the window that t lies in and returns how many windows ended since the last call, with what the current
// one had counted.
func (w *window) roll(t event.Time, length int64) (ended int64, had float64) {
	at := int64(t) / length
	if at <= w.At {
		return 0, 0
	}
	ended, had = at-w.At, w.N
	if w.At == 0 {
		ended = 0
	}
	if at == w.At+1 {
		w.Prev = w.N
	} else {
		w.Prev = 0
	}
	w.At, w.N = at, 0
	return ended, had
}

// sliding estimates the count of the last length of time.
func (w *window) sliding(t event.Time, length int64) float64 {
	at := int64(t) / length
	part := float64(int64(t)%length) / float64(length)
	switch {
	case at <= w.At:
		return w.N + w.Prev*(1-part)
	case at == w.At+1:
		return w.N * (1 - part)
	}
	return 0
}

// few counts distinct values in 32 bytes by linear counting (Whang et al. 1990): within 1 up to 25 values, 5 % at 200,
// saturated at 1,400. A window of a principal on an endpoint needs no more, and there are many of those.
type few [4]uint64

func (f *few) add(h uint64) bool {
	w, b := h>>6&3, uint64(1)<<(h&63)
	if f[w]&b != 0 {
		return false
	}
	f[w] |= b
	return true
}

func (f *few) count() float64 {
	n := 0
	for _, w := range f {
		n += bits.OnesCount64(w)
	}
	if n >= 255 {
		n = 255
	}
	if n == 0 {
		return 0
	}
	return -256 * math.Log(1-float64(n)/256)
}

// normal is a running mean and variance, which after memory values forgets slowly.
type normal struct {
	N, Mean, M2 float64
}

const memory = 2000

func (m *normal) add(x float64) {
	if m.N >= memory {
		m.M2 *= 1 - 1/float64(memory)
		m.N = memory - 1
	}
	m.N++
	d := x - m.Mean
	m.Mean += d / m.N
	m.M2 += d * (x - m.Mean)
}

func (m *normal) sd() float64 {
	if m.N < 2 {
		return 1
	}
	return math.Sqrt(m.M2 / (m.N - 1))
}

// tail is a histogram in steps of a quarter of a doubling, to ask how often a value was reached.
type tail [40]uint32

func tailBucket(x float64) int {
	if x < 1 {
		return 0
	}
	return min(len(tail{})-1, int(math.Log2(x)*4)+1)
}

// over returns how many values were x or more (to the bucket), and how many there are.
func (h *tail) over(x float64) (over, all float64) {
	at := tailBucket(x)
	for i, n := range h {
		all += float64(n)
		if i >= at {
			over += float64(n)
		}
	}
	return over, all
}
