// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"

	"github.com/sardine-run/sardine/internal/kernel"
)

// features probes all, on the file system of dir where that matters.
func features(dir string) []Finding {
	probes := kernel.NewFeatures(dir)
	var findings []Finding
	for _, feature := range probes.List() {
		findings = append(findings, featureFinding(feature, probes.Ask(feature.Name)))
	}
	return findings
}

func featureFinding(feature kernel.Feature, answer kernel.Answer) Finding {
	f := Finding{
		Name:     string(feature.Name),
		Required: slices.Contains(neededFeatures(), feature.Name),
		Lost:     feature.Lost,
		Advice:   "Linux " + feature.Since.String(),
	}
	if feature.Fallback != "" {
		f.Lost += " (instead: " + feature.Fallback + ")"
	}
	if feature.Advice != "" {
		f.Advice += "; " + feature.Advice
	}
	switch answer.Support {
	case kernel.SupportYes:
		f.Verdict, f.Detail = OK, "since Linux "+feature.Since.String()
	case kernel.SupportNo:
		f.Verdict, f.Detail = Missing, answer.Err.Error()
	default:
		return f.unknown(answer.Err)
	}
	return f
}
