package hostile

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAttacksHaveTheirClass(t *testing.T) {
	var s Scanner
	for text, want := range map[string]Signs{
		"1' OR '1'='1": SQLi, "x') or 1=1 --": SQLi, "1 UNION  SELECT null": SQLi, "1;drop table x": SQLi, "1 and 1=1": SQLi, "sleep(5)": SQLi, "a'||'1'='1": SQLi, "%27%20or%201=1": SQLi,
		"<ScRiPt>x": XSS, "\" onfocus=alert(1)": XSS, "javascript:alert(1)": XSS, "<img src=x onerror=y>": XSS,
		"../../etc/passwd": Traversal, "..%2f..%2fetc%2fpasswd": Traversal, `..\..\windows`: Traversal, "/proc/self/environ": Traversal,
		"; cat /etc/hosts": RCE, "| id": RCE, "`whoami`": RCE, "$(curl http://x)": RCE, "() { :;}": RCE, "<?php x": RCE,
		"{{7*7}}": Template, "${7*7}": Template, "#{1+1}": Template, "{% x.y() %}": Template,
		"${jndi:ldap://x}": Log4Shell, "${${lower:j}ndi}": Log4Shell,
		"http://169.254.169.254/": SSRF, "gopher://x": SSRF, "file:///etc": SSRF,
		"user[$ne]=1": NoSQL, "x\r\nSet-Cookie: a=b": CRLF, "a\x00b": Nul, "<!DOCTYPE a SYSTEM \"x\">": XXE, "rO0ABXNyABFqYXZh": Deserialisation,
	} {
		require.Equal(t, want, s.Scan([]byte(text))&want, text)
		require.NotZero(t, want)
	}
}

func TestHonestTextHasNone(t *testing.T) {
	var s Scanner
	for _, text := range []string{"", "O'Brien", "Rock 'n' roll", "it's 'fine' -- really", "a < b && c > d", "${name}", "{{name}}", "{id}", "C:\\Users\\x", "1 = 1", "tom & jerry; ids",
		"if (x) { y(); }", "https://example.org/?a=b&c=d", "union of workers selects", "order by phone", "price: $12 (net)", "drop the table", "x--y", "a || b", "SELECT"} {
		require.Empty(t, s.Scan([]byte(text)).Append(nil), text)
	}
}

func TestEveryClassHasAWord(t *testing.T) {
	require.Len(t, (Deserialisation<<1 - 1).Append(nil), len(words))
}

func TestLongValuesTakeBoundedTime(t *testing.T) {
	var s Scanner
	for _, unit := range []string{"'", "or 1=", "../", "<img ", "{{", "${", "&&", "union select ", "%25", "(sleep", "\r\n"} {
		b := []byte(strings.Repeat(unit, 1<<20/len(unit)))
		start := time.Now()
		s.Scan(b)
		require.Less(t, time.Since(start), 500*time.Millisecond, unit)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("1' or 1=1--"))
	f.Add([]byte("%2527${jndi:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Scanner
		in := bytes.Clone(b)
		got := s.Scan(b)
		require.Equal(t, in, b, "the value is borrowed")
		require.Equal(t, got, s.Scan(b))
		if len(b) > MaxScan {
			require.Equal(t, got, s.Scan(b[:MaxScan]))
		}
		if !anySuspect(b) {
			require.Zero(t, got)
		}
	})
}
