// SPDX-License-Identifier: Apache-2.0

package top

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const exposition = `# HELP go_goroutines Number of goroutines that currently exist.
# TYPE go_goroutines gauge
go_goroutines 44
go_goroutines_total 7
sardine_stored_descriptors{kind="holder"} 12
sardine_stored_descriptors{kind="odd} 9"} 1e+02 1712345678
sardine_phase_seconds_bucket{phase="a b",le="5e-05"} 0
`

func TestReadMetrics(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/metrics" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(exposition))
	}))
	defer server.Close()
	// As it stands in the daemon's configuration.
	m, err := readMetrics(t.Context(), server.Client(), metricsURL(strings.TrimPrefix(server.URL, "http://")))
	if err != nil || m.goroutines == nil || *m.goroutines != 44 || m.stored == nil || *m.stored != 112 {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := readMetrics(t.Context(), server.Client(), server.URL+"/elsewhere"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("another path: %v", err)
	}
	server.Close()
	if _, err := readMetrics(t.Context(), server.Client(), server.URL); err == nil || !strings.Contains(err.Error(), "metrics of the daemon") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestParseMetrics(t *testing.T) {
	m, err := parseMetrics(strings.NewReader(""))
	if err != nil || m.goroutines != nil || m.stored != nil {
		t.Errorf("of nothing: %+v, %v", m, err)
	}
	if _, err := parseMetrics(strings.NewReader("go_goroutines many\n")); err == nil {
		t.Error("a number that is none is taken")
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add(exposition)
	f.Add("go_goroutines{} ")
	f.Add("go_goroutines NaN")
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = parseMetrics(strings.NewReader(text))
	})
}
