package event

// Histogram and Distinct are filled by agent/fold; see there for their error bounds.

// Histogram counts positive values in buckets whose bounds grow by a constant factor, as DDSketch does (Masson, Rim and
// Lee, VLDB 2019): any quantile is within a stated relative error, and two of them merge by adding.
type Histogram struct {
	Zero    uint64           // values of 0
	Buckets map[int16]uint64 // index -> count; see Index
}

// Distinct estimates how many different values a parameter had.
type Distinct struct {
	In    In
	Name  string
	State []byte // HyperLogLog registers
}
