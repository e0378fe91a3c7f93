package endpoint

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

//go:embed model.bin
var modelFile []byte

// model is the fitted judge: an ensemble for each pass. fit/fit.py writes it.
type model struct{ first, second ensemble }

// ensemble is a sum of regression trees whose total is the log odds of "parameter".
type ensemble struct {
	roots []int32 // per tree: index in nodes, or ^index in leaves
	nodes []split
	leaf  []float32
}

// split sends x[feature] <= at to left. 16 bytes.
type split struct {
	feature     uint16
	at          float32
	left, right int32 // index in nodes, or ^index in leaves
}

func (e *ensemble) eval(x []float32) float32 {
	var sum float32
	for _, i := range e.roots {
		for i >= 0 {
			n := &e.nodes[i]
			if x[n.feature] <= n.at {
				i = n.left
			} else {
				i = n.right
			}
		}
		sum += e.leaf[^i]
	}
	return float32(1 / (1 + math.Exp(-float64(sum))))
}

// shipped is the model in the repository. Without its file every word is a literal, so that a first fit can begin.
var shipped = func() *model {
	if len(modelFile) == 0 {
		return &model{first: ensemble{roots: []int32{^0}, leaf: []float32{-4}}, second: ensemble{roots: []int32{^0}, leaf: []float32{-4}}}
	}
	m, err := parseModel(modelFile)
	if err != nil {
		panic(err) // a broken build: TestTheShippedModelIsValid
	}
	return m
}()

const modelMagic = "gnomon-endpoint-model-1\n"

// parseModel reads: the magic line, then for each pass uint32 counts of trees, splits and leaves, the roots (int32), the
// splits (uint16 feature, float32 threshold, int32 left, int32 right), and the leaves (float32). Little endian.
func parseModel(b []byte) (*model, error) {
	if len(b) < len(modelMagic) || string(b[:len(modelMagic)]) != modelMagic {
		return nil, errors.New("endpoint model: not a model file; make it again with inventory/endpoint/fit")
	}
	b = b[len(modelMagic):]
	short := false
	u32 := func() uint32 {
		if len(b) < 4 {
			short = true
			return 0
		}
		v := binary.LittleEndian.Uint32(b)
		b = b[4:]
		return v
	}
	u16 := func() uint16 {
		if len(b) < 2 {
			short = true
			return 0
		}
		v := binary.LittleEndian.Uint16(b)
		b = b[2:]
		return v
	}
	m := &model{}
	for pass, e := range [...]*ensemble{&m.first, &m.second} {
		trees, splits, leaves := u32(), u32(), u32()
		if uint64(trees)*4+uint64(splits)*14+uint64(leaves)*4 > uint64(len(b)) {
			return nil, errors.New("endpoint model: cut short")
		}
		e.roots, e.nodes, e.leaf = make([]int32, trees), make([]split, splits), make([]float32, leaves)
		for i := range e.roots {
			e.roots[i] = int32(u32())
		}
		for i := range e.nodes {
			e.nodes[i] = split{u16(), math.Float32frombits(u32()), int32(u32()), int32(u32())}
		}
		for i := range e.leaf {
			e.leaf[i] = math.Float32frombits(u32())
		}
		features := numFirst
		if pass == 1 {
			features = numSecond
		}
		for i, n := range e.nodes {
			bad := func(c int32) bool {
				return c >= 0 && (int(c) <= i || int(c) >= len(e.nodes)) || c < 0 && int(^c) >= len(e.leaf)
			}
			if int(n.feature) >= features || bad(n.left) || bad(n.right) {
				return nil, fmt.Errorf("endpoint model: pass %d, split %d is out of range; make it again with inventory/endpoint/fit", pass+1, i)
			}
		}
		for _, r := range e.roots {
			if r >= 0 && int(r) >= len(e.nodes) || r < 0 && int(^r) >= len(e.leaf) {
				return nil, errors.New("endpoint model: a root is out of range")
			}
		}
	}
	if short || len(b) != 0 {
		return nil, errors.New("endpoint model: wrong length")
	}
	return m, nil
}

// How many features the passes have.
const (
	numFirst  = 127
	numSecond = 147
)
