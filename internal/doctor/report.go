// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Verdict is the outcome of a check.
type Verdict string

const (
	OK      Verdict = "ok"      // found, works
	Missing Verdict = "missing" // not found, or not usable
	Info    Verdict = "info"    // neither good nor bad, or could not tell
)

// Finding is the outcome of one check.
type Finding struct {
	Group    string  `json:"group"`
	Name     string  `json:"name"`
	Verdict  Verdict `json:"verdict"`
	Required bool    `json:"required,omitempty"` // sardined cannot run without it
	Detail   string  `json:"detail,omitempty"`   // what was found
	Lost     string  `json:"lost,omitempty"`     // what is worse without it, and what is done instead
	Advice   string  `json:"advice,omitempty"`   // how to get it
}

// Report lists findings, those of a group together.
type Report struct {
	Findings []Finding `json:"findings"`
}

// Runnable reports whether sardined could run: nothing required is missing. What could not
// be told does not count.
func (r Report) Runnable() bool {
	for _, finding := range r.Findings {
		if finding.Required && finding.Verdict == Missing {
			return false
		}
	}
	return true
}

// WriteJSON writes the report, and whether sardined could run, as one JSON object.
func (r Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Runnable bool `json:"runnable"`
		Report
	}{r.Runnable(), r})
}

// WriteText writes the report as aligned lines, ending with the conclusion.
func (r Report) WriteText(w io.Writer) error {
	var text strings.Builder
	group, width := "", r.nameWidth()
	for _, finding := range r.Findings {
		if finding.Group != group {
			if group != "" {
				fmt.Fprintln(&text)
			}
			group = finding.Group
			fmt.Fprintln(&text, group)
		}
		finding.writeText(&text, width)
	}
	fmt.Fprintf(&text, "\n%s\n", r.conclusion())
	_, err := io.WriteString(w, text.String())
	return err
}

func (r Report) nameWidth() int {
	width := 0
	for _, finding := range r.Findings {
		width = max(width, len(finding.Name))
	}
	return width
}

// writeText writes one line, and below it, if there is something to do, what.
func (f Finding) writeText(w io.Writer, width int) {
	fmt.Fprintf(w, "  %-*s  %-*s  %s\n", len(Missing), f.Verdict, width, f.Name, f.Detail)
	if f.Verdict == OK {
		return
	}
	indent := strings.Repeat(" ", len("    ")+len(Missing)+width)
	if f.Lost != "" {
		fmt.Fprintf(w, "%s    lost:   %s\n", indent, f.Lost)
	}
	if f.Advice != "" {
		fmt.Fprintf(w, "%s    to get: %s\n", indent, f.Advice)
	}
}

func (r Report) conclusion() string {
	var required, optional int
	for _, finding := range r.Findings {
		switch {
		case finding.Verdict != Missing:
		case finding.Required:
			required++
		default:
			optional++
		}
	}
	if required > 0 {
		return fmt.Sprintf("sardined cannot run here: %d required missing, %d optional missing", required, optional)
	}
	return fmt.Sprintf("sardined can run here: %d optional missing", optional)
}
