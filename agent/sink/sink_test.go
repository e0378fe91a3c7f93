package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/gnomon-sensor/gnomon/agent/ledger"
	"github.com/gnomon-sensor/gnomon/inventory/event"
	"github.com/stretchr/testify/require"
)

// putter keeps ids, or fails.
type putter struct {
	ids  []string
	err  error
	gate chan struct{} // nil, or waits for each batch
}

func (p *putter) Put(b []event.Call) error {
	if p.gate != nil {
		<-p.gate
	}
	if p.err != nil {
		return p.err
	}
	for i := range b {
		p.ids = append(p.ids, b[i].ID)
	}
	return nil
}

func call(id string) *event.Call {
	return &event.Call{ID: id, Service: "s", Method: "GET", Params: []event.Param{{Name: id}}}
}

func TestEachCallOfEachLaneIsDeliveredOnceAndInOrder(t *testing.T) {
	led := new(ledger.Ledger)
	b := NewBus(Config{Batch: 7, Queue: 4, Wait: true}, led)
	p := &putter{}
	done := make(chan error)
	go func() { done <- b.Run(context.Background(), p) }()
	var wg sync.WaitGroup
	for l := range 3 {
		lane := b.Lane()
		wg.Go(func() {
			c := call("")
			for i := range 1000 {
				c.ID = fmt.Sprintf("%d-%04d", l, i) // the Call is reused: the lane must copy
				lane.Call(c)
			}
			lane.Flush()
		})
	}
	wg.Wait()
	b.Close()
	require.NoError(t, <-done)
	require.Len(t, p.ids, 3000)
	last := map[byte]string{}
	for _, id := range p.ids {
		require.Greater(t, id, last[id[0]])
		last[id[0]] = id
	}
	require.EqualValues(t, 3000, led.Event().Calls.Delivered)
}

func TestAFullQueueDropsAndCountsByCalls(t *testing.T) {
	led := new(ledger.Ledger)
	b := NewBus(Config{Batch: 2, Queue: 2}, led)
	lane := b.Lane()
	require.False(t, lane.Full())
	for i := range 10 {
		c := call(fmt.Sprint(i))
		c.Count = 5
		if i == 9 {
			c.State = event.Progress // counts when it is done
		}
		lane.Call(c)
	}
	require.True(t, lane.Full())
	p := &putter{}
	b.Close()
	require.NoError(t, b.Run(context.Background(), p))
	require.Equal(t, []string{"0", "1", "2", "3"}, p.ids)
	acc := led.Event().Calls
	require.EqualValues(t, 20, acc.Delivered)
	require.Equal(t, map[string]uint64{"queue_full": 25}, acc.Lost)
}

func TestWhatTheReceiverRefusesIsLostAndReported(t *testing.T) {
	led := new(ledger.Ledger)
	b := NewBus(Config{}, led)
	lane := b.Lane()
	lane.Call(call("a"))
	lane.Flush()
	lane.Flush() // nothing to hand over
	b.Close()
	broken := errors.New("disk full")
	require.ErrorIs(t, b.Run(context.Background(), &putter{err: broken}), broken)
	require.Equal(t, map[string]uint64{"store_failed": 1}, led.Event().Calls.Lost)
}

func TestBatchesAreReused(t *testing.T) {
	led := new(ledger.Ledger)
	b := NewBus(Config{Batch: 8, Wait: true}, led)
	p := &discard{}
	done := make(chan error)
	go func() { done <- b.Run(context.Background(), p) }()
	lane, c := b.Lane(), call("x")
	for range 2000 {
		lane.Call(c)
	}
	allocs := testing.AllocsPerRun(1000, func() { lane.Call(c) })
	require.LessOrEqual(t, allocs, 1.0, "a batch now and then, when the receiver has not given one back")
	lane.Flush()
	b.Close()
	require.NoError(t, <-done)
}

type discard struct{}

func (discard) Put([]event.Call) error { return nil }

func TestLinesAreCallsAsJSON(t *testing.T) {
	var out bytes.Buffer
	l := NewLines(&out)
	require.NoError(t, l.Put([]event.Call{*call("a"), *call("b")}))
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 2)
	require.True(t, strings.HasPrefix(lines[1], `{"id":"b"`))
	require.ErrorContains(t, NewLines(failing{}).Put([]event.Call{*call("a")}), "write 1 calls")
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("closed") }

func TestDirectHandsOverWhatItIsGiven(t *testing.T) {
	led := new(ledger.Ledger)
	var got []string
	d := NewDirect(led, func(c *event.Call) { got = append(got, c.ID) })
	c := call("a")
	c.State = event.Open
	d.Call(c)
	c.State = event.Done
	d.Call(c)
	require.Equal(t, []string{"a", "a"}, got)
	require.EqualValues(t, 1, led.Event().Calls.Delivered)
	require.False(t, d.Full())
}

func BenchmarkLane(b *testing.B) {
	led := new(ledger.Ledger)
	bus := NewBus(Config{Wait: true}, led)
	done := make(chan error)
	go func() { done <- bus.Run(context.Background(), discard{}) }()
	lane, c := bus.Lane(), call("x")
	b.ReportAllocs()
	for range b.N {
		lane.Call(c)
	}
	lane.Flush()
	bus.Close()
	require.NoError(b, <-done)
	require.EqualValues(b, b.N, led.Event().Calls.Delivered)
}
