// SPDX-License-Identifier: Apache-2.0

package cri

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// spec is the outcome of one of critest's specs.
type spec struct {
	name    string // its containers' texts and its own, joined by " / "
	state   string // passed, failed, skipped, pending, panicked, ...
	message string // why it failed or was skipped
	output  string // what it said meanwhile
	took    time.Duration
}

// parseReport reads ginkgo's JSON report (types.Report of ginkgo/v2).
func parseReport(data []byte) ([]spec, error) {
	var suites []struct {
		SpecReports []struct {
			ContainerHierarchyTexts    []string
			LeafNodeType               string
			LeafNodeText               string
			State                      string
			RunTime                    time.Duration
			Failure                    struct{ Message string }
			CapturedGinkgoWriterOutput string
		}
	}
	if err := json.Unmarshal(data, &suites); err != nil {
		return nil, fmt.Errorf("report of critest: %w", err)
	}
	var specs []spec
	for _, suite := range suites {
		for _, r := range suite.SpecReports {
			if r.LeafNodeType != "It" && r.State == "passed" {
				continue // BeforeSuite and the like
			}
			specs = append(specs, spec{
				name:    strings.Join(append(r.ContainerHierarchyTexts, r.LeafNodeText), " / "),
				state:   r.State,
				message: r.Failure.Message,
				output:  r.CapturedGinkgoWriterOutput,
				took:    r.RunTime,
			})
		}
	}
	return specs, nil
}
