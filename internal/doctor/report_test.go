// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func sample() Report {
	return Report{Findings: []Finding{
		{Group: "Kernel", Name: "root", Verdict: OK, Required: true, Detail: "running as root", Lost: "all", Advice: "run as root"},
		{Group: "Kernel", Name: "idmapped mounts", Verdict: Missing, Detail: "invalid argument", Lost: "copies", Advice: "Linux 5.12"},
		{Group: "Limits", Name: "open files", Verdict: Info, Detail: "could not tell"},
	}}
}

func TestWriteText(t *testing.T) {
	var out bytes.Buffer
	if err := sample().WriteText(&out); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"Kernel",
		"  ok       root             running as root",
		"  missing  idmapped mounts  invalid argument",
		"                              lost:   copies",
		"                              to get: Linux 5.12",
		"",
		"Limits",
		"  info     open files       could not tell",
		"",
		"sardined can run here: 1 optional missing",
		"",
	}, "\n")
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWriteErrorsAreReturned(t *testing.T) {
	if err := sample().WriteText(brokenPipe{}); err == nil {
		t.Error("text: no error")
	}
	if err := sample().WriteJSON(brokenPipe{}); err == nil {
		t.Error("json: no error")
	}
}

func TestWriteJSON(t *testing.T) {
	var out bytes.Buffer
	if err := sample().WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Runnable bool
		Findings []Finding
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Runnable || len(got.Findings) != 3 || got.Findings[1] != sample().Findings[1] {
		t.Errorf("got %+v", got)
	}
}

func TestRunnable(t *testing.T) {
	tests := map[string]struct {
		findings []Finding
		want     bool
	}{
		"nothing":             {nil, true},
		"all there":           {[]Finding{{Required: true, Verdict: OK}}, true},
		"optional missing":    {[]Finding{{Required: true, Verdict: OK}, {Verdict: Missing}}, true},
		"required unknown":    {[]Finding{{Required: true, Verdict: Info}}, true},
		"required missing":    {[]Finding{{Verdict: OK}, {Required: true, Verdict: Missing}}, false},
		"both kinds missing":  {[]Finding{{Verdict: Missing}, {Required: true, Verdict: Missing}}, false},
		"only remarks to say": {[]Finding{{Verdict: Info}}, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := Report{Findings: test.findings}
			if got := r.Runnable(); got != test.want {
				t.Errorf("got %v", got)
			}
			if cannot := strings.HasPrefix(r.conclusion(), "sardined cannot run"); cannot == test.want {
				t.Errorf("conclusion disagrees: %s", r.conclusion())
			}
		})
	}
}
