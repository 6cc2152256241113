// SPDX-License-Identifier: Apache-2.0

package stress

import (
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"time"
)

// Result is the outcome of a run, in the form --json prints.
type Result struct {
	Address       string `json:"address"`
	DaemonVersion string `json:"daemonVersion"`
	Runtime       string `json:"runtime"`
	Snapshotter   string `json:"snapshotter"`
	Concurrency   int    `json:"concurrency"`
	Library       bool   `json:"library,omitempty"` // Options.Library
	Network       string `json:"network,omitempty"` // of pods; empty where containers lived

	Seconds    float64 `json:"seconds"`
	Containers int     `json:"containers"` // or pods that lived from create to delete without an error
	Rate       float64 `json:"containersPerSecond"`

	// CPU time per container in milliseconds, of this process and of the
	// daemon without its helpers and the containers.
	ClientCPU float64 `json:"clientCPUMs"`
	DaemonCPU float64 `json:"daemonCPUMs"`

	Errors      int         `json:"errors"`
	ErrorKinds  []ErrorKind `json:"errorKinds,omitempty"`
	Interrupted bool        `json:"interrupted,omitempty"`

	Phases []PhaseResult `json:"phases,omitempty"`
	Hold   *HoldResult   `json:"hold,omitempty"`
	Stop   *StopResult   `json:"stop,omitempty"`
	Probe  *ProbeResult  `json:"probe,omitempty"`
}

// PhaseResult is the distribution of one phase.
type PhaseResult struct {
	Name string `json:"name"`
	Distribution
}

// WriteJSON writes the result as one indented object.
func (r *Result) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// setTimes fills in what was recorded; phases that never happened are left out.
func (r *Result) setTimes(times *recorder, elapsed time.Duration) {
	r.Seconds = milliseconds(elapsed) / 1000
	r.Containers = len(times[Total])
	r.Rate = rate(r.Containers, elapsed)
	r.addTimes(times, elapsed)
}

// addTimes adds the phases that happened.
func (r *Result) addTimes(times *recorder, elapsed time.Duration) {
	for p := range phases {
		if len(times[p]) > 0 {
			r.Phases = append(r.Phases, PhaseResult{Name: p.String(), Distribution: distribution(times[p], elapsed)})
		}
	}
}

// ErrorKind is an error text, without the ids of the container or the pod it
// first happened to, and how often it was seen.
type ErrorKind struct {
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// givenID is an id that a CRI server chose, of a pod, a container or an exec.
var givenID = regexp.MustCompile(`\b([0-9a-f]{64}|[A-Z2-7]{26})\b`)

// maxErrorKinds is how many different errors a result quotes: the first ones.
const maxErrorKinds = 5

func (r *Result) addError(id string, err error) {
	r.Errors++
	text := givenID.ReplaceAllString(err.Error(), "ID")
	if id != "" {
		text = strings.ReplaceAll(text, id, "ID")
	}
	for i := range r.ErrorKinds {
		if r.ErrorKinds[i].Text == text {
			r.ErrorKinds[i].Count++
			return
		}
	}
	if len(r.ErrorKinds) < maxErrorKinds {
		r.ErrorKinds = append(r.ErrorKinds, ErrorKind{Text: text, Count: 1})
	}
}
