package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInferKeepsLinesOrderAndFields(t *testing.T) {
	var in strings.Builder
	for i := range 30 {
		fmt.Fprintf(&in, `{"service":"shop","method":"GET","path":"/orders/%d","status":200,"extra":{"n":%d}}`+"\n", i, i)
		fmt.Fprintf(&in, `{"service":"shop","method":"GET","path":"/orders/latest","status":200}`+"\n\n")
	}
	var out bytes.Buffer
	require.NoError(t, infer(strings.NewReader(in.String()), &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 60)
	for i, l := range lines {
		var got struct {
			Path, Template string
			Confidence     float64
			Extra          *struct{ N int }
		}
		require.NoError(t, json.Unmarshal([]byte(l), &got), l)
		if i%2 == 0 {
			require.Equal(t, "/orders/{orderId}", got.Template)
			require.Equal(t, i/2, got.Extra.N)
		} else {
			require.Equal(t, "/orders/latest", got.Template)
		}
		require.Greater(t, got.Confidence, 0.5)
		require.LessOrEqual(t, got.Confidence, 1.0)
	}
}

func TestInferTakesOddLines(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, infer(strings.NewReader("{}\n{\"path\":\"*\"}\n { \"path\" : \"/\" } \n"), &out))
	require.Equal(t, "{\"template\":\"\",\"confidence\":0.000}\n{\"path\":\"*\",\"template\":\"*\",\"confidence\":0.000}\n{ \"path\" : \"/\" ,\"template\":\"/\",\"confidence\":1.000}\n", out.String())
	require.ErrorContains(t, infer(strings.NewReader("{}\nnonsense\n"), &out), "line 2")
	require.ErrorContains(t, infer(strings.NewReader(strings.Repeat("x", maxInferLine+1)), &out), "line 1")
}
