// SPDX-License-Identifier: Apache-2.0

package netcheck

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/errdefs"
)

// Report is what a check found.
type Report struct {
	Pods     int       `json:"pods"`
	Networks []string  `json:"networks"`
	Findings []Finding `json:"findings"`
	// Unanswered says why the daemon did not tell its pods; those that it has written down count then.
	Unanswered string `json:"unanswered,omitempty"`
	// Busy says that pods were being attached all the time, so that interfaces could not be told apart.
	Busy bool `json:"busy,omitempty"`
}

// Check looks for what is left over. It changes nothing.
func Check(ctx context.Context, o Options) (*Report, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	report, err := o.look(ctx)
	if err != nil || len(report.Findings) == 0 && !report.Busy {
		return report, err
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(o.Pause):
	}
	again, err := o.look(ctx)
	if err != nil {
		return nil, err
	}
	again.Findings = common(report.Findings, again.Findings)
	return again, nil
}

// common are the second's that the first has too.
func common(first, second []Finding) []Finding {
	seen := map[string]bool{}
	for i := range first {
		seen[first[i].key()] = true
	}
	return slices.DeleteFunc(second, func(f Finding) bool { return !seen[f.key()] })
}

// look asks who there is before and after it looks at what there is.
func (o *Options) look(ctx context.Context) (*Report, error) {
	before, err := o.know(ctx)
	if err != nil {
		return nil, err
	}
	n := o.networksOf(before)
	var all []Finding
	for _, scan := range []func(context.Context, *networks) ([]Finding, error){leases, nftRules, iptablesRules, links} {
		found, err := scan(ctx, n)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	pins, err := o.pinned()
	if err != nil {
		return nil, err
	}
	all = append(all, pins...)
	after, err := o.know(ctx)
	if err != nil {
		return nil, err
	}
	return o.report(n, before.and(after), all), nil
}

func (o *Options) report(n *networks, k *known, all []Finding) *Report {
	r := &Report{Pods: len(k.pods), Busy: !k.settled()}
	if k.unanswered != nil {
		r.Pods, r.Unanswered = len(k.sandboxes), k.unanswered.Error()
	}
	for name := range n.names {
		r.Networks = append(r.Networks, name)
	}
	slices.Sort(r.Networks)
	j := &judge{known: k, networks: n, interfaces: k.interfaces(), hashes: k.hashes(n), busy: r.Busy}
	for _, f := range all {
		if j.left(&f) {
			r.Findings = append(r.Findings, f)
		}
	}
	r.Findings = append(r.Findings, o.leftRecords(k)...)
	r.Findings = append(r.Findings, o.leftResults(k)...)
	slices.SortFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(a.key(), b.key()) })
	return r
}

// Repair removes what a check finds and what is certainly nobody's, and returns what is left and what it removed. ErrUnavailable when the
// daemon does not say which pods there are.
func Repair(ctx context.Context, o Options) (left *Report, removed []Finding, err error) {
	report, err := Check(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	if report.Unanswered != "" {
		return report, nil, fmt.Errorf("nothing is removed unless the daemon says which pods there are (start it, or name its socket by --address): %s: %w",
			report.Unanswered, errdefs.ErrUnavailable)
	}
	rest := report.Findings
	report.Findings = nil
	for _, f := range rest {
		if f.remove == nil {
			report.Findings = append(report.Findings, f)
			continue
		}
		if err := f.remove(ctx); err != nil {
			f.Detail = "cannot be removed: " + err.Error()
			report.Findings = append(report.Findings, f)
			continue
		}
		removed = append(removed, f)
	}
	return report, removed, nil
}
